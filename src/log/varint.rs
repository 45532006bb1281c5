//! Unsigned LEB128: seven bits a byte, lowest first, the high bit set on every byte but the last.
//!
//! Only the shortest encoding of a number is accepted, so that a number has one form on disk.

/// Longest encoding of a 64-bit number, in bytes.
pub const MAX_LEN: usize = 10;

/// Bytes that [`write()`] needs for `number`: 1 to [`MAX_LEN`].
#[inline]
pub fn len(number: u64) -> usize {
    let significant_bits = 64 - (number | 1).leading_zeros() as usize;
    // As the seventh part rounded up, for 1 to 64.
    (significant_bits * 9 + 64) / 64
}

/// The encoding of `number` as a word, the lowest byte first, and its length; `None` if it takes more than four bytes.
#[inline(always)]
pub fn short(number: u64) -> Option<(u32, usize)> {
    if number < 0x80 {
        return Some((number as u32, 1));
    }
    let len = len(number);
    let spread = number & 0x7f
        | (number & 0x3f80) << 1
        | (number & 0x1f_c000) << 2
        | (number & 0xfe0_0000) << 3;
    // All bytes but the last say that another one follows.
    let continued = 0x80_8080 & (1_u32 << (8 * (len - 1) % 32)).wrapping_sub(1);
    (len <= 4).then_some((spread as u32 | continued, len))
}

/// Writes `number` at `*position` and moves `*position` behind it. Panics if `bytes` ends before: callers size
/// their array by the sum of the greatest lengths.
#[inline]
pub fn write(bytes: &mut [u8], position: &mut usize, mut number: u64) {
    while number >= 0x80 {
        bytes[*position] = number as u8 | 0x80;
        *position += 1;
        number >>= 7;
    }
    bytes[*position] = number as u8;
    *position += 1;
}

/// Reads the number at `*position` and moves `*position` behind it; `None`, with `*position` anywhere, if the
/// bytes end before the number does, if it exceeds 64 bits, or if a shorter encoding exists.
#[inline]
pub fn read(bytes: &[u8], position: &mut usize) -> Option<u64> {
    let first = *bytes.get(*position)?;
    *position += 1;
    if first < 0x80 {
        return Some(u64::from(first));
    }
    read_rest(bytes, position, u64::from(first & 0x7f))
}

/// The number that the lowest bytes of `word` encode, the lowest first, and how many bytes that takes; `None` if it is not
/// valid, or takes more than four. Without a branch that depends on the length.
#[inline(always)]
pub fn read_short(word: u64) -> Option<(u64, usize)> {
    let ends = !word & 0x8080_8080;
    let end = ends & ends.wrapping_neg();
    // All bits of the encoding, the last byte's high bit among them.
    let encoding = word & (end << 1).wrapping_sub(1);
    let number = encoding & 0x7f
        | (encoding & 0x7f00) >> 1
        | (encoding & 0x7f_0000) >> 2
        | (encoding & 0x7f00_0000) >> 3;
    let len = end.trailing_zeros() as usize / 8 + 1;
    // The shortest encoding does not end in a zero byte.
    let is_shortest = len == 1 || encoding >> (8 * (len - 1) % 64) != 0;
    (end != 0 && is_shortest).then_some((number, len))
}

fn read_rest(bytes: &[u8], position: &mut usize, first: u64) -> Option<u64> {
    let mut number = first;
    for count in 1..MAX_LEN {
        let byte = *bytes.get(*position)?;
        *position += 1;
        if count == MAX_LEN - 1 && byte > 1 {
            return None;
        }
        number |= u64::from(byte & 0x7f) << (7 * count);
        if byte < 0x80 {
            return (byte != 0).then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges() -> Vec<u64> {
        let mut numbers = vec![0, u64::MAX];
        for shift in 0..64 {
            let power = 1u64 << shift;
            numbers.extend([power - 1, power, power + 1]);
        }
        numbers
    }

    #[test]
    fn every_number_reads_back_from_exactly_the_length_promised() {
        for number in edges() {
            let mut bytes = [0xffu8; MAX_LEN];
            let mut end = 0;
            write(&mut bytes, &mut end, number);
            assert_eq!(end, len(number), "{number}");
            let mut position = 0;
            assert_eq!(read(&bytes[..end], &mut position), Some(number));
            assert_eq!(position, end);
        }
    }

    #[test]
    fn what_is_a_word_has_the_bytes_that_are_written() {
        for number in edges() {
            let mut bytes = [0; MAX_LEN];
            let mut end = 0;
            write(&mut bytes, &mut end, number);
            let word = [bytes[0], bytes[1], bytes[2], bytes[3]];
            let expected = (end <= 4).then_some((u32::from_le_bytes(word), end));
            assert_eq!(short(number), expected, "{number}");
        }
    }

    #[test]
    fn what_is_read_from_a_word_is_what_is_read_from_its_bytes() {
        let mut words: Vec<u64> = edges();
        let mut state = 1_u64;
        for _ in 0..100_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Bytes with the high bit, zero bytes and others in all orders.
            words.push(state & state.rotate_left(21) | 0x8080_8080 & state.rotate_left(40));
        }
        for word in words {
            let mut position = 0;
            let number = read(&word.to_le_bytes(), &mut position);
            let expected = number.map(|number| (number, position));
            let expected = expected.filter(|(_, len)| *len <= 4);
            assert_eq!(read_short(word), expected, "{word:x}");
        }
    }

    #[test]
    fn a_number_cut_short_is_refused() {
        for number in edges() {
            let mut bytes = [0u8; MAX_LEN];
            let mut end = 0;
            write(&mut bytes, &mut end, number);
            for cut in 0..end {
                assert_eq!(read(&bytes[..cut], &mut 0), None, "{number} cut to {cut}");
            }
        }
    }

    #[test]
    fn longer_forms_of_a_number_are_refused() {
        for number in edges() {
            let mut bytes = [0u8; MAX_LEN + 1];
            let mut end = 0;
            write(&mut bytes, &mut end, number);
            bytes[end - 1] |= 0x80;
            assert_eq!(read(&bytes[..end + 1], &mut 0), None, "{number}");
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_refused() {
        let mut bytes = [0xffu8; MAX_LEN];
        bytes[MAX_LEN - 1] = 0x02;
        assert_eq!(read(&bytes, &mut 0), None);
        assert_eq!(read(&[0xff; 32], &mut 0), None);
    }
}
