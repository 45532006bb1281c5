//! Fixed-width little-endian numbers at fixed places.
//!
//! Callers pass arrays or slices whose length they have checked; a place outside panics.

/// The number in the four bytes at `position`.
pub fn read_u32(bytes: &[u8], position: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[position..position + 4]);
    u32::from_le_bytes(number)
}

/// The number in the eight bytes at `position`.
pub fn read_u64(bytes: &[u8], position: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[position..position + 8]);
    u64::from_le_bytes(number)
}

/// Puts `number` into the four bytes at `position`.
pub fn write_u32(bytes: &mut [u8], position: usize, number: u32) {
    bytes[position..position + 4].copy_from_slice(&number.to_le_bytes());
}

/// Puts `number` into the eight bytes at `position`.
pub fn write_u64(bytes: &mut [u8], position: usize, number: u64) {
    bytes[position..position + 8].copy_from_slice(&number.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_lowest_byte_first_and_touch_nothing_else() {
        let mut bytes = [0xee; 14];
        write_u32(&mut bytes, 1, 0x0403_0201);
        write_u64(&mut bytes, 5, 0x0807_0605_0403_0201);
        assert_eq!(bytes, [0xee, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0xee]);
        assert_eq!(read_u32(&bytes, 1), 0x0403_0201);
        assert_eq!(read_u64(&bytes, 5), 0x0807_0605_0403_0201);
    }
}
