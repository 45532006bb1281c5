//! Keys that collide for everybody who uses rapidhash V3 with the secrets that come with it.
//!
//! rapidhash reads a key in pairs of 64-bit words and folds each pair into one word: the first, XOR a secret, times the
//! second, XOR what came before. Where a first word equals its secret the product is zero, whatever the second word is, so
//! that all values of the second word give one hash of 64 bits, with any seed.

use rapidhash::v3::DEFAULT_RAPID_SECRETS;

/// Lengths of key for which [`key`] knows the pair to take: each goes another way through the hash.
pub const LENGTHS: [usize; 3] = [16, 32, 128];

/// The key with this number among 2^64 of `length` bytes, one of [`LENGTHS`], that share one hash.
pub fn key(length: usize, number: u64) -> Vec<u8> {
    let secrets = DEFAULT_RAPID_SECRETS.secrets;
    let secret = match length {
        // The one pair there is.
        16 => secrets[1],
        // The pair before the last one.
        32 => secrets[2],
        // The first pair of a block of 112 bytes.
        128 => secrets[0],
        _ => panic!("no pair of words is known for keys of {length} bytes"),
    };
    let mut key = vec![0x2e; length];
    key[..8].copy_from_slice(&secret.to_le_bytes());
    key[8..16].copy_from_slice(&number.to_le_bytes());
    key
}
