//! Intervals with a clock time: Arrow reads units, and only some clock times.

use datafusion::sql::sqlparser::ast::{DataType, Expr, Value};

/// Spells out the clock times in a constant that is cast to an interval.
pub(super) fn rewrite(expr: &mut Expr) {
    let text = match expr {
        Expr::Cast { expr, data_type: DataType::Interval { .. }, .. } => expr.as_mut(),
        Expr::Interval(interval) if interval.leading_field.is_none() => interval.value.as_mut(),
        _ => return,
    };
    if let Expr::Value(value) = text
        && let Value::SingleQuotedString(text) = &mut value.value
        && let Some(spelled) = spelled_out(text)
    {
        *text = spelled;
    }
}

/// `1 day -02:03:04.5` is `1 day -2 hours -3 minutes -4.5 seconds`. `None` if there is no clock time.
pub(crate) fn spelled_out(text: &str) -> Option<String> {
    if !text.contains(':') {
        return None;
    }
    let words: Option<Vec<String>> = text
        .split_whitespace()
        .map(|word| if word.contains(':') { clock(word) } else { Some(word.to_owned()) })
        .collect();
    Some(words?.join(" "))
}

fn clock(word: &str) -> Option<String> {
    let (sign, rest) = match word.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = rest.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
    let whole = seconds.replacen('.', "", 1);
    let valid = digits(hours) && digits(minutes) && digits(&whole) && parts.next().is_none();
    let below_60 = |part: &str| part.parse::<f64>().is_ok_and(|number| number < 60.0);
    if !valid || !below_60(minutes) || !below_60(seconds) {
        return None;
    }
    Some(format!("{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds} seconds"))
}

#[cfg(test)]
mod tests {
    use super::spelled_out;

    #[test]
    fn clock_times_become_units() {
        assert_eq!(spelled_out("00:00:00.001").unwrap(), "00 hours 00 minutes 00.001 seconds");
        assert_eq!(spelled_out("1 month -02:03").unwrap(), "1 month -02 hours -03 minutes -0 seconds");
        assert_eq!(spelled_out("1 day"), None);
        assert_eq!(spelled_out("1:99"), None);
        assert_eq!(spelled_out("a:b"), None);
    }
}
