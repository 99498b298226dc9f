//! Tagged sections: how records, manifests and segment metadata grow without a new version (architecture F2).
//!
//! | bytes | meaning |
//! |---|---|
//! | varint | `tag << 1`, plus 1 if a reader that does not know the tag must refuse |
//! | varint | length of the payload |
//! | … | payload |

use crate::cursor::{Decoder, Encoder};
use crate::error::{DecodeError, DecodeProblem};

/// What a reader does with a section whose tag it does not know. Never grows: it is one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenUnknown {
    /// Refuse the whole, by name: its meaning depends on this section.
    Refuse,
    /// Go on without it.
    Skip,
}

/// A section as read.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// What it holds; meaning depends on the container.
    pub tag: u16,
    /// What to do if the tag is unknown.
    pub when_unknown: WhenUnknown,
    /// Its content.
    pub payload: Decoder<'a>,
    offset: u64,
}

impl Section<'_> {
    /// For tags that the reader does not know: refuses or skips, as the section asks.
    ///
    /// # Errors
    /// `Section`, naming the container and the tag.
    pub fn unknown(&self, container: &'static str) -> Result<(), DecodeError> {
        match self.when_unknown {
            WhenUnknown::Refuse => {
                Err(DecodeError::new(self.offset, DecodeProblem::Section { container, tag: self.tag }))
            }
            WhenUnknown::Skip => Ok(()),
        }
    }

    /// Stores `value` in `slot`, which holds what a section of this tag said before.
    ///
    /// # Errors
    /// `RepeatedSection` if there was one.
    pub fn set<T>(&self, slot: &mut Option<T>, container: &'static str, value: T) -> Result<(), DecodeError> {
        if slot.replace(value).is_some() {
            return Err(DecodeError::new(self.offset, DecodeProblem::RepeatedSection { container, tag: self.tag }));
        }
        Ok(())
    }
}

impl Encoder<'_> {
    /// Appends a section with what `write` appends.
    pub fn put_section(&mut self, tag: u16, when_unknown: WhenUnknown, write: impl FnOnce(&mut Encoder<'_>)) {
        let refuse = match when_unknown {
            WhenUnknown::Refuse => 1,
            WhenUnknown::Skip => 0,
        };
        self.put_varint(u64::from(tag) << 1 | refuse);
        self.put_nested(write);
    }
}

impl<'a> Decoder<'a> {
    /// The next section, or `None` at the end.
    ///
    /// # Errors
    /// Those of [`Decoder::nested`], or `Limit` for a tag beyond 16 bits.
    pub fn section(&mut self) -> Result<Option<Section<'a>>, DecodeError> {
        if self.is_empty() {
            return Ok(None);
        }
        let offset = self.offset();
        let head = self.varint()?;
        let when_unknown = if head & 1 == 1 { WhenUnknown::Refuse } else { WhenUnknown::Skip };
        let found = head >> 1;
        let max = u64::from(u16::MAX);
        let tag = u16::try_from(found)
            .map_err(|_too_large| DecodeError::new(offset, DecodeProblem::Limit { what: "section tag", found, max }))?;
        Ok(Some(Section { tag, when_unknown, payload: self.nested()?, offset }))
    }

    /// Reads the rest as sections of later versions: refuses the first that must be understood, skips the others.
    /// Every variable-length part of a format ends like this, so that it can grow.
    ///
    /// # Errors
    /// Those of [`Decoder::section`] and [`Section::unknown`].
    pub fn extensions(&mut self, container: &'static str) -> Result<(), DecodeError> {
        while let Some(section) = self.section()? {
            section.unknown(container)?;
        }
        Ok(())
    }

    /// A section's value that must be there.
    ///
    /// # Errors
    /// `MissingSection`.
    pub fn required<T>(&self, value: Option<T>, container: &'static str, tag: u16) -> Result<T, DecodeError> {
        value.ok_or_else(|| self.error(DecodeProblem::MissingSection { container, tag }))
    }
}

#[cfg(test)]
mod tests;
