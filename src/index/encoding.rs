//! How a table writes down an entry's hash and location: 48 bits in a slot, and the bucket it is in.
//!
//! Of every entry the first P bits of the hash below the shard's own, its *fingerprint*, are known exactly. The home bucket is
//! the fingerprint scaled to the number of buckets, and the *tag* counts from the first fingerprint of that bucket, so
//! that bucket and tag together give the fingerprint back: a table can be built out of another one without the keys.
//! That is quotienting (Cleary, "Compact hash tables using bidirectional linear probing", 1984) with a divisor that
//! need not be a power of two.
//!
//! A slot holds {lane: lowest 12 bits of the tag} and {field: the tag's other bits, then the location}. A location takes as
//! few bits as the log needs so far; all others are the tag's.

use super::Location;
use super::bucket::{FIELD_BITS, TAG_BITS};

/// A table spends no fewer bits than this on locations, which bounds the tags.
const LEAST_LOCATION_BITS: u32 = 12;

/// With fewer different tags than this a table is worth being built from the hashes of its keys.
const FEW_TAGS: u64 = 1 << (TAG_BITS - 1);

/// With so many different tags another key's entry is hardly ever taken for that of the wanted one.
const MANY_TAGS: u64 = 1 << 14;

/// How the entries of one table are written down.
///
/// Depth and widths are below 64, and a fingerprint has a bit at least, so that shifts by them lose nothing by being the
/// wrapping ones, which are not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    /// Leading hash bits that all keys of the shard share. What a lookup needs lies together.
    depth: u32,
    buckets: u32,
    location_bits: u32,
    /// P: how many bits of an entry's hash below the shard's own are known.
    fingerprint_bits: u32,
    /// 2^64 divided by the number of buckets, rounded up.
    reciprocal: u64,
}

impl Encoding {
    /// For a table of `buckets` in a shard of `depth`, whose locations are below 2^`location_bits`; with as many
    /// fingerprint bits as can be written down, but no more than are `known`.
    pub(super) fn new(buckets: u32, depth: u32, location_bits: u32, known: Option<u32>) -> Self {
        let location_bits = location_bits.clamp(LEAST_LOCATION_BITS, Location::BITS);
        let most = most_fingerprint_bits(buckets, depth, location_bits);
        let fingerprint_bits = known.map_or(most, |known| most.min(known));
        Self::with_bits(buckets, depth, location_bits, fingerprint_bits)
    }

    /// For a table whose numbers were read from a file; `None` if no table has these.
    pub(super) fn checked(
        buckets: u32,
        depth: u32,
        location_bits: u32,
        fingerprint_bits: u32,
    ) -> Option<Self> {
        let possible = (LEAST_LOCATION_BITS..=Location::BITS).contains(&location_bits)
            && buckets > 0
            && (1..=most_fingerprint_bits(buckets, depth, location_bits))
                .contains(&fingerprint_bits);
        possible.then(|| Self::with_bits(buckets, depth, location_bits, fingerprint_bits))
    }

    fn with_bits(buckets: u32, depth: u32, location_bits: u32, fingerprint_bits: u32) -> Self {
        Self {
            depth,
            buckets,
            location_bits,
            fingerprint_bits,
            // No table has a single bucket, for which this does not fit; an absent one has none.
            reciprocal: u64::MAX
                .checked_div(u64::from(buckets))
                .map_or(0, |floor| floor.wrapping_add(1)),
        }
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    pub(super) fn location_bits(&self) -> u32 {
        self.location_bits
    }

    pub(super) fn fingerprint_bits(&self) -> u32 {
        self.fingerprint_bits
    }

    /// Whether there are so few different tags that other keys' often equal, although a table of this size could have
    /// more if it were built from the hashes.
    pub(super) fn is_poor(&self) -> bool {
        let most = most_fingerprint_bits(self.buckets, self.depth, self.location_bits);
        self.tags() < FEW_TAGS && self.fingerprint_bits < most
    }

    /// How many different tags there are.
    pub(super) fn tags(&self) -> u64 {
        (1_u64 << self.fingerprint_bits).div_ceil(u64::from(self.buckets).max(1))
    }

    /// Whether there are so many that another key's is hardly ever equal: of a bucket's ten once in 1,600 lookups, or less.
    #[inline]
    pub(super) fn has_many_tags(&self) -> bool {
        (1 << self.fingerprint_bits) >= u64::from(self.buckets) * MANY_TAGS
    }

    /// The fingerprint of `hash`.
    #[inline]
    pub(super) fn fingerprint_of(&self, hash: u64) -> u64 {
        let below_shard = hash.wrapping_shl(self.depth);
        below_shard.wrapping_shr(u64::BITS.wrapping_sub(self.fingerprint_bits))
    }

    /// The home bucket and tag of a fingerprint.
    #[inline]
    pub(super) fn home_and_tag(&self, fingerprint: u64) -> (usize, u64) {
        // A fingerprint has 47 bits at most, a number of buckets 12, so nothing is lost.
        let scaled = fingerprint.wrapping_mul(u64::from(self.buckets));
        let rest = scaled & lowest(self.fingerprint_bits);
        // `rest` divided by the number of buckets. What the reciprocal is too large by does not show in the quotient of a
        // number of at most 47 bits.
        let tag = (u128::from(rest) * u128::from(self.reciprocal)) >> 64;
        let home = scaled.wrapping_shr(self.fingerprint_bits);
        (home as usize, tag as u64)
    }

    /// The fingerprint of an entry with this home and tag, in a table with buckets. For a tag that no entry of that home has, another one's.
    #[inline]
    pub(super) fn fingerprint(&self, home: usize, tag: u64) -> u64 {
        self.first_fingerprint(home).wrapping_add(tag)
    }

    /// The fingerprint of the entry of this home whose tag is 0.
    #[inline]
    pub(super) fn first_fingerprint(&self, home: usize) -> u64 {
        let above = (home as u64).wrapping_shl(self.fingerprint_bits);
        self.quotient(above.wrapping_add(u64::from(self.buckets) - 1))
    }

    /// `number`, of at most 59 bits, divided by the number of buckets.
    #[inline]
    fn quotient(&self, number: u64) -> u64 {
        // The reciprocal is less than 2^-64 too large, so that a quotient is too large by one at most.
        let quotient = ((u128::from(number) * u128::from(self.reciprocal)) >> 64) as u64;
        let product = quotient.wrapping_mul(u64::from(self.buckets));
        quotient.wrapping_sub(u64::from(product > number))
    }

    /// The tag's bits that stand before the location.
    #[inline]
    pub(super) fn upper_tag(&self, field: u64) -> u64 {
        field.wrapping_shr(self.location_bits)
    }

    /// The whole tag of a slot.
    #[inline]
    pub(super) fn tag(&self, lane: u32, field: u64) -> u64 {
        self.upper_tag(field) << TAG_BITS | u64::from(lane)
    }

    /// The location in an occupied slot; `None` if the slot is only reserved.
    #[inline]
    pub(super) fn location(&self, field: u64) -> Option<Location> {
        Location::new(field & lowest(self.location_bits))
    }

    /// The field of a slot that is only reserved: it has this tag and no location yet.
    #[inline]
    pub(super) fn field_without_location(&self, tag: u64) -> u64 {
        (tag >> TAG_BITS).wrapping_shl(self.location_bits)
    }

    /// The field of a slot with this tag, and a location, if it has one, that is known to have few enough bits.
    #[inline]
    pub(super) fn field_as_short(&self, tag: u64, location: Option<Location>) -> u64 {
        self.field_without_location(tag) | location.map_or(0, Location::raw)
    }

    /// The field of a slot with this tag and a location that has few enough bits.
    #[inline]
    pub(super) fn field(&self, tag: u64, location: Location) -> u64 {
        assert!(
            location.bits() <= self.location_bits,
            "the caller asked for fewer bits"
        );
        self.field_without_location(tag) | location.raw()
    }

    /// The field of a slot that had `field` and gets another location.
    #[inline]
    pub(super) fn with_location(&self, field: u64, location: Location) -> u64 {
        assert!(
            location.bits() <= self.location_bits,
            "the caller asked for fewer bits"
        );
        field & !lowest(self.location_bits) | location.raw()
    }
}

/// The lane of a tag.
#[inline]
pub(super) fn lane(tag: u64) -> u32 {
    tag as u32 & ((1 << TAG_BITS) - 1)
}

/// The lowest `bits` bits, of which there are fewer than 64.
#[inline]
fn lowest(bits: u32) -> u64 {
    !u64::MAX.wrapping_shl(bits)
}

/// The most fingerprint bits of which bucket and tag can tell.
fn most_fingerprint_bits(buckets: u32, depth: u32, location_bits: u32) -> u32 {
    // 2^P / buckets, rounded up, must not be above 2^(tag bits).
    let tag_bits = TAG_BITS + FIELD_BITS - location_bits;
    (tag_bits + buckets.max(1).ilog2()).min(u64::BITS - depth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::directory::MAX_DEPTH;
    use crate::index::shape::Shape;
    use crate::index::tests::Random;

    fn all_buckets() -> impl Iterator<Item = u32> {
        let first = Shape::for_entries(0);
        std::iter::successors(Some(first), |shape| shape.larger()).map(|shape| shape.main)
    }

    #[test]
    fn every_fingerprint_of_few_bits_comes_back_from_its_bucket_and_tag() {
        for buckets in (2..=130).chain(all_buckets()) {
            for known in 1..=16 {
                let encoding = Encoding::new(buckets, 0, Location::BITS, Some(known));
                let bits = encoding.fingerprint_bits();
                assert!(bits <= known);
                let mut previous = (0, 0);
                for fingerprint in 0..1_u64 << bits {
                    let (home, tag) = encoding.home_and_tag(fingerprint);
                    let scaled = u128::from(fingerprint) * u128::from(buckets);
                    assert_eq!(home as u128, scaled >> bits);
                    assert_eq!(encoding.fingerprint(home, tag), fingerprint);
                    assert!(tag < encoding.tags());
                    assert!(fingerprint == 0 || (home, tag) > previous);
                    previous = (home, tag);
                }
            }
        }
    }

    #[test]
    fn quotients_are_exact_up_to_the_largest_numbers() {
        let mut random = Random::new(42);
        for buckets in all_buckets() {
            let encoding = Encoding::new(buckets, 0, LEAST_LOCATION_BITS, None);
            let bits = encoding.fingerprint_bits();
            for home in 0..u64::from(buckets) {
                for offset in [0, 1, u64::from(buckets) - 1, random.below(1 << bits)] {
                    let number = (home << bits) + offset;
                    assert_eq!(encoding.quotient(number), number / u64::from(buckets));
                }
            }
        }
    }

    #[test]
    fn a_hash_comes_back_up_to_its_fingerprint_from_what_a_slot_holds() {
        let mut random = Random::new(41);
        for buckets in all_buckets() {
            for location_bits in LEAST_LOCATION_BITS..=Location::BITS {
                for depth in [0, 1, 7, MAX_DEPTH] {
                    let encoding = Encoding::new(buckets, depth, location_bits, None);
                    let bits = encoding.fingerprint_bits();
                    assert!(encoding.tags() <= 1 << (TAG_BITS + FIELD_BITS - location_bits));
                    assert!(encoding.tags() >= FEW_TAGS && !encoding.is_poor());
                    for extreme in [0, u64::MAX, random.next(), random.next(), random.next()] {
                        let fingerprint = encoding.fingerprint_of(extreme);
                        let (home, tag) = encoding.home_and_tag(fingerprint);
                        assert!(home < buckets as usize && tag < encoding.tags());
                        let location = Location::new(1 + random.below((1 << location_bits) - 1));
                        let field = encoding.field(tag, location.unwrap());
                        assert!(field >> FIELD_BITS == 0);
                        assert_eq!(encoding.location(field), location);
                        let other = Location::new(1).unwrap();
                        let moved = encoding.with_location(field, other);
                        assert_eq!(encoding.location(moved), Some(other));
                        assert_eq!(encoding.tag(lane(tag), moved), tag);
                        let known = encoding.fingerprint(home, encoding.tag(lane(tag), field));
                        assert_eq!(known, extreme << depth >> (64 - bits));
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_from_a_file_are_refused_unless_some_table_has_them() {
        let buckets = Shape::largest().main;
        let good = Encoding::new(buckets, 3, 30, None);
        let checked =
            |depth, location_bits, bits| Encoding::checked(buckets, depth, location_bits, bits);
        assert_eq!(checked(3, 30, good.fingerprint_bits()), Some(good));
        assert_eq!(checked(3, 30, good.fingerprint_bits() + 1), None);
        assert_eq!(checked(3, 30, 0), None);
        assert_eq!(checked(3, 37, 5), None);
        assert_eq!(checked(3, 11, 5), None);
        assert_eq!(checked(3, 30, u32::MAX), None);
        assert_eq!(Encoding::checked(0, 3, 30, 5), None);
    }

    /// Fills a store in thought: a shard's table grows through all shapes and splits, the log grows by
    /// `record_units` a key. Answers how many keys there were when a table first had too few tags.
    fn keys_until_poor(record_units: u64) -> u64 {
        let (mut depth, mut shape) = (0, Shape::for_entries(0));
        let mut encoding = Encoding::new(shape.main, depth, 0, None);
        loop {
            let keys = (shape.slots() * 97 / 100) << depth;
            let needed = u64::BITS - (keys * record_units).leading_zeros();
            if needed > Location::BITS {
                return u64::MAX;
            }
            let mut known = encoding.fingerprint_bits();
            // The log has grown through all lengths up to this one.
            for bits in encoding.location_bits()..=needed {
                encoding = Encoding::new(shape.main, depth, bits, Some(known));
                known = encoding.fingerprint_bits();
                if encoding.is_poor() {
                    return keys;
                }
            }
            match shape.larger() {
                Some(larger) => shape = larger,
                None => {
                    shape = Shape::for_entries(shape.slots() * 97 / 200);
                    depth += 1;
                    known -= 1;
                }
            }
            encoding = Encoding::new(shape.main, depth, needed, Some(known));
            if encoding.is_poor() {
                return keys;
            }
        }
    }

    #[test]
    fn filling_a_store_with_records_of_one_size_hashes_no_key_again() {
        // In units of 16 bytes. The smallest records take many keys first, others half of the largest log.
        assert!(keys_until_poor(2) > 500_000_000);
        for record_units in [8, 64, 1024, 65_536] {
            let units = keys_until_poor(record_units).saturating_mul(record_units);
            assert!(units > 1 << (Location::BITS - 1), "{record_units}");
        }
    }
}
