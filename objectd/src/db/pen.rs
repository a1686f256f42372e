//! Core: text in the making, behind what is written already. Ten parts of each row of a listing come this way, most of them constants, which become
//! plain stores here: a `Vec` would call `memcpy` for each.

use base::digits::{self, DIGITS_MAX};

/// Writes into space that is there already.
#[derive(Clone, Debug, Default)]
pub(super) struct Pen {
    /// Written up to `at`, zero behind it.
    space: Vec<u8>,
    at: usize,
}

impl Pen {
    /// Bytes written and not taken.
    pub(super) fn written(&self) -> usize {
        self.at
    }

    /// Makes space for so many bytes more.
    pub(super) fn reserve(&mut self, bytes: usize) {
        let needed = self.at.saturating_add(bytes);
        if self.space.len() < needed {
            self.space.resize(needed, 0);
        }
    }

    /// Takes what was written.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.space.truncate(std::mem::take(&mut self.at));
        std::mem::take(&mut self.space)
    }

    /// A constant.
    #[inline]
    pub(super) fn constant<const N: usize>(&mut self, bytes: &[u8; N]) {
        let place = self.space.get_mut(self.at..).and_then(|space| space.first_chunk_mut());
        match place {
            Some(place) => *place = *bytes,
            None => self.grow(bytes),
        }
        self.at += N;
    }

    /// Any bytes.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let place = self.space.get_mut(self.at..).and_then(|space| space.get_mut(..bytes.len()));
        match place {
            Some(place) => place.copy_from_slice(bytes),
            None => self.grow(bytes),
        }
        self.at += bytes.len();
    }

    /// A text.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A character.
    pub(super) fn character(&mut self, character: char) {
        self.text(character.encode_utf8(&mut [0; 4]));
    }

    /// Its digits.
    pub(super) fn number(&mut self, number: i64) {
        if number < 0 {
            self.constant(b"-");
        }
        self.bytes(digits::written(number.unsigned_abs(), &mut [0; DIGITS_MAX]));
    }

    /// Where there was too little space, behind what is written.
    #[cold]
    fn grow(&mut self, bytes: &[u8]) {
        self.space.truncate(self.at);
        self.space.extend_from_slice(bytes);
        self.space.resize(self.space.capacity(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_taken_whatever_the_space() {
        for space in [0, 1, 7, 30, 100] {
            let mut pen = Pen::default();
            pen.reserve(space);
            for _ in 0..2 {
                pen.constant(b"one ");
                pen.text("");
                pen.number(-20);
                pen.bytes(b", ");
                pen.character('\u{e9}');
                pen.number(0);
                assert_eq!(pen.written(), 12);
                assert_eq!(pen.take(), "one -20, \u{e9}0".as_bytes(), "{space}");
                assert_eq!(pen.written(), 0);
            }
        }
    }
}
