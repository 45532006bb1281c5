//! Which sizes the pool hands out, and how each is laid out in spans.

/// Bytes of a unit, the granule in which the pool's address range is divided among classes.
pub const UNIT: usize = 64 * 1024;

/// Smallest size of a buffer in bytes.
pub const SMALLEST: usize = 64;

/// Largest size of a buffer in bytes that comes from a class; longer ones are mapped one by one.
pub const LARGEST: usize = 1024 * 1024;

/// Number of classes: 64 bytes, then four for each of the 14 doublings up to 1 MiB.
pub const CLASS_COUNT: usize = 1 + 4 * (LARGEST.ilog2() - SMALLEST.ilog2()) as usize;

/// Most slots that a span of any class has.
pub const MOST_SLOTS: usize = UNIT / SMALLEST;

/// Most buffers that one cache of a class holds.
pub const MOST_CACHED: usize = 64;

/// Bytes up to which one cache of a class holds buffers, though it always holds one.
const CACHED_BYTES: usize = 128 * 1024;

/// The geometry of one class.
#[derive(Clone, Copy)]
pub struct SizeClass {
    /// Bytes of a slot, a multiple of 16.
    pub size: usize,
    /// Units of a span.
    pub units: usize,
    /// Slots of a span.
    pub slots: usize,
    /// Buffers that one cache may hold.
    pub cached: usize,
}

/// All classes, by rising size.
pub static CLASSES: [SizeClass; CLASS_COUNT] = {
    let mut classes = [geometry(SMALLEST); CLASS_COUNT];
    let mut class = 1;
    while class < CLASS_COUNT {
        let base = SMALLEST << ((class - 1) / 4);
        classes[class] = geometry(base + base / 4 * ((class - 1) % 4 + 1));
        class += 1;
    }
    classes
};

/// Units are added to a span until at most 1/16 of it is left over behind the last slot.
const fn geometry(size: usize) -> SizeClass {
    let mut units = size.div_ceil(UNIT);
    while (units * UNIT) % size > units * UNIT / 16 {
        units += 1;
    }
    let cached = CACHED_BYTES / size;
    SizeClass {
        size,
        units,
        slots: units * UNIT / size,
        cached: if cached == 0 {
            1
        } else if cached > MOST_CACHED {
            MOST_CACHED
        } else {
            cached
        },
    }
}

/// The smallest class whose slots hold `length` bytes, `None` above [`LARGEST`].
pub fn class_for(length: usize) -> Option<usize> {
    if length <= SMALLEST {
        return Some(0);
    }
    if length > LARGEST {
        return None;
    }
    let doubling = (length - 1).ilog2();
    let quarter = (length - 1 - (1 << doubling)) >> (doubling - 2);
    Some(1 + 4 * (doubling - SMALLEST.ilog2()) as usize + quarter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_gets_the_smallest_class_that_holds_it() {
        let step = if cfg!(miri) { 4099 } else { 1 };
        for length in (0..=LARGEST).step_by(step) {
            let class = class_for(length).unwrap();
            assert!(CLASSES[class].size >= length, "length {length}");
            assert!(
                class == 0 || CLASSES[class - 1].size < length,
                "length {length}"
            );
        }
        assert_eq!(class_for(LARGEST), Some(CLASS_COUNT - 1));
        assert_eq!(class_for(LARGEST + 1), None);
        assert_eq!(class_for(usize::MAX), None);
    }

    #[test]
    fn no_length_above_64_bytes_wastes_more_than_a_quarter() {
        for pair in CLASSES.windows(2) {
            assert!(pair[1].size - pair[0].size - 1 <= pair[0].size / 4);
        }
    }

    #[test]
    fn the_slots_of_a_span_fit_and_waste_at_most_a_sixteenth() {
        for class in &CLASSES {
            let bytes = class.units * UNIT;
            assert!((1..=MOST_SLOTS).contains(&class.slots));
            assert!(class.slots * class.size <= bytes);
            assert!((bytes - class.slots * class.size) * 16 <= bytes);
            assert!(class.units <= 16 && class.size.is_multiple_of(16));
            assert!((1..=MOST_CACHED).contains(&class.cached));
        }
    }
}
