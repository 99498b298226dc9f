//! Places in the statement's text.

/// The place of a line and column (both from 1) in characters from 1, as error messages count.
pub(crate) fn character_position(sql: &str, line: u64, column: u64) -> Option<u32> {
    if line == 0 || column == 0 {
        return None;
    }
    let mut before = 0_u64;
    for (number, text) in (1_u64..).zip(sql.split('\n')) {
        let characters = u64::try_from(text.chars().count()).ok()?;
        if number == line {
            return u32::try_from(before.checked_add(column.min(characters + 1))?).ok();
        }
        before = before.checked_add(characters)?.checked_add(1)?;
    }
    None
}
