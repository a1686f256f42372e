//! Core: which of many places were asked for before, as far as a few words of memory can tell.

/// A mark for each place, in the slot that the place falls on: the last to come there is remembered.
#[derive(Debug, Default)]
pub struct Marks<const SLOTS: usize>(Vec<u32>);

impl<const SLOTS: usize> Marks<SLOTS> {
    /// None yet; memory is taken with the first.
    pub const fn new() -> Self {
        assert!(SLOTS.is_power_of_two() && SLOTS <= 1 << 16, "the highest bits choose the slot");
        Marks(Vec::new())
    }

    /// Whether the place `offset` of the file `file` was asked for before, as far as is remembered; from now on it was.
    pub fn was_asked_for(&mut self, file: u32, offset: u64) -> bool {
        if self.0.is_empty() {
            self.0 = vec![0; SLOTS];
        }
        let mixed = (u64::from(file) << 40 ^ offset).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mark = u32::try_from(mixed >> 16 & 0xffff_ffff).unwrap_or_default() | 1;
        let slot = usize::try_from(mixed >> 48).unwrap_or_default() % SLOTS;
        self.0.get_mut(slot).is_some_and(|known| std::mem::replace(known, mark) == mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_the_second_time_and_until_another_takes_its_slot() {
        let mut marks: Marks<1024> = Marks::new();
        assert!(!marks.was_asked_for(1, 4096));
        assert!(marks.was_asked_for(1, 4096));
        assert!(!marks.was_asked_for(2, 4096), "another file");
        let mut one: Marks<1> = Marks::new();
        assert!(!one.was_asked_for(1, 4096));
        assert!(!one.was_asked_for(1, 8192));
        assert!(!one.was_asked_for(1, 4096), "forgotten");
    }
}
