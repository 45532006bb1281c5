//! Memory larger than any cache, read in an order that no prefetcher knows.

use std::hint::black_box;
use std::ptr::null_mut;

use crate::pairs::mix;

/// What is behind the addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Pages of 4 KiB.
    Small,
    /// Pages of 2 MiB, where the system has them.
    Huge,
}

const LEN: usize = 1 << 30;
const LINE: usize = 64;
const LINES: usize = LEN / LINE;

/// Lines of memory, each of which names another: together they are one circle.
pub struct Chase {
    lines: &'static mut [[u64; LINE / 8]],
}

impl Chase {
    /// Takes memory, which is kept.
    pub fn new(pages: Pages) -> Self {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let advice = match pages {
            Pages::Small => libc::MADV_NOHUGEPAGE,
            Pages::Huge => libc::MADV_HUGEPAGE,
        };
        // SAFETY: new memory, of twice the length, so that it contains as much from a boundary of huge pages on; it is never
        // given back, and zeros are numbers.
        let lines = unsafe {
            let start = libc::mmap(null_mut(), 2 * LEN, protection, kind, -1, 0);
            assert_ne!(start, libc::MAP_FAILED, "there is no memory");
            let start = start.byte_add(start.align_offset(LEN));
            libc::madvise(start, LEN, advice);
            std::slice::from_raw_parts_mut(start.cast::<[u64; LINE / 8]>(), LINES)
        };
        // Neighbours in the circle are scattered over the memory by a bijection, so that the circle is whole.
        let place = |at: u64| scatter(at) as usize;
        for at in 0..LINES as u64 {
            let next = (at + 1) % LINES as u64;
            lines[place(at)][0] = place(next) as u64;
        }
        Self { lines }
    }

    /// Reads so many lines, each named by the one before; it begins somewhere else for each `first`.
    pub fn dependent(&self, first: u64, times: u64) {
        let mut at = mix(first) % LINES as u64;
        for _ in 0..times {
            at = self.lines[at as usize][0];
        }
        black_box(at);
    }

    /// Reads so many lines whose numbers are known beforehand.
    pub fn independent(&self, first: u64, times: u64) {
        let mut sum = 0_u64;
        for number in first..first + times {
            sum = sum.wrapping_add(self.lines[mix(number) as usize % LINES][0]);
        }
        black_box(sum);
    }
}

/// A bijection of the numbers of lines: steps that each can be undone.
fn scatter(number: u64) -> u64 {
    const MASK: u64 = LINES as u64 - 1;
    let bits = LINES.ilog2();
    let mut mixed = number;
    for factor in [0x9e37_79b9_7f4a_7c15_u64, 0xbf58_476d_1ce4_e5b9] {
        mixed = mixed.wrapping_mul(factor) & MASK;
        mixed ^= mixed >> (bits / 2);
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scattering_gives_each_number_once() {
        let mut seen = vec![false; LINES];
        for number in 0..LINES as u64 {
            let place = scatter(number) as usize;
            assert!(!std::mem::replace(&mut seen[place], true), "{place}");
        }
    }
}
