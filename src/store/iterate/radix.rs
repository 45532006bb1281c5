//! Sorting numbers of few bits.

/// Bits of the largest digit: so many counters that they stay in the nearest cache, and a line for each of their places in
/// the next.
const LARGEST_DIGIT: u32 = 10;

/// Sorts `numbers` by what is left of them without their lowest `ignored` bits. `spare` becomes as long; its content is
/// lost. Neither allocates if `spare` has as much room.
///
/// Radix sort from the lowest digit (Knuth, "The Art of Computer Programming", 5.2.5), of as many digits as differ.
pub fn sort(numbers: &mut Vec<u64>, spare: &mut Vec<u64>, ignored: u32) {
    let Some(&first) = numbers.first() else {
        return;
    };
    let differing = numbers
        .iter()
        .fold(0, |bits, number| bits | (number ^ first));
    let end = u64::BITS - differing.leading_zeros();
    spare.clear();
    spare.resize(numbers.len(), 0);
    let bits = end.saturating_sub(ignored);
    let digits = bits.div_ceil(LARGEST_DIGIT);
    for number in 0..digits {
        // Digits of about the same size.
        let (shift, next) = (bits * number / digits, bits * (number + 1) / digits);
        let mask = (1 << (next - shift)) - 1;
        let digit = |number: u64| (number >> (ignored + shift)) as usize & mask;
        let mut places = [0_usize; 1 << LARGEST_DIGIT];
        for number in &*numbers {
            places[digit(*number)] += 1;
        }
        let mut sum = 0;
        for place in &mut places {
            sum += std::mem::replace(place, sum);
        }
        for number in &*numbers {
            let place = &mut places[digit(*number)];
            spare[*place] = *number;
            *place += 1;
        }
        std::mem::swap(numbers, spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(count: usize, bits: u32) -> Vec<u64> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> (u64::BITS - bits)
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn numbers_of_any_width_come_out_in_order() {
        for count in [0, 1, 2, 3, 1000] {
            for bits in [1, 7, 8, 9, 16, 23, 36, 64] {
                let mut numbers = drawn(count, bits);
                let mut expected = numbers.clone();
                expected.sort_unstable();
                sort(&mut numbers, &mut Vec::new(), 0);
                assert_eq!(numbers, expected, "{count} of {bits} bits");
            }
        }
    }

    #[test]
    fn ignored_bits_decide_nothing_and_no_number_is_lost() {
        let drawn = drawn(1000, 20);
        let mut numbers = drawn.clone();
        sort(&mut numbers, &mut Vec::new(), 6);
        assert!(numbers.is_sorted_by_key(|number| number >> 6));
        let [mut one, mut other] = [numbers, drawn];
        one.sort_unstable();
        other.sort_unstable();
        assert_eq!(one, other);
    }
}
