//! The workloads. One operation is a get and a release unless the name says otherwise.

use std::hint::black_box;

use crate::contestants::Contestant;

/// Four classes that several workloads share.
pub const FOUR: &[usize] = &[1 << 10, 4 << 10, 16 << 10, 64 << 10];
/// The classes of `mixed`.
pub const SIX: &[usize] = &[64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10];
/// The classes of `find class`.
pub const ELEVEN: &[usize] = &[
    64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536,
];
/// The classes of `pressure`.
pub const THREE: &[usize] = &[1 << 10, 4 << 10, 16 << 10];

/// What one operation does.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Gets and releases one of these lengths by turns.
    Turns(&'static [usize]),
    /// Small, middle and large ones by fives, threes and twos.
    Mixed,
    /// A hundred gets, then their releases.
    Batch,
    /// Fifty gets, half of them released, trimming every hundredth time, and the other half released.
    Pressure,
    /// Finds the class of a length.
    Find(&'static [usize]),
    /// Reads the statistics with a hundred buffers out.
    Statistics,
}

/// A workload.
pub struct Workload {
    /// Its number in the list that it comes from; 0 for those of ours.
    pub number: u32,
    /// What it is.
    pub name: &'static str,
    /// Classes of the pool, `None` for the standard ones.
    pub classes: Option<&'static [usize]>,
    /// What is done.
    pub kind: Kind,
}

const fn workload(
    number: u32,
    name: &'static str,
    classes: Option<&'static [usize]>,
    kind: Kind,
) -> Workload {
    Workload {
        number,
        name,
        classes,
        kind,
    }
}

/// All workloads that more than one contestant can do, and those of the pool alone. The second, the platform's
/// zeroed memory, is what the first is compared with; see `measure`.
pub const ALL: &[Workload] = &[
    workload(1, "basic: 1K 4K 16K 64K", Some(FOUR), Kind::Turns(FOUR)),
    workload(
        3,
        "small: 64 128 256 512",
        None,
        Kind::Turns(&[64, 128, 256, 512]),
    ),
    workload(
        4,
        "large: 64K 128K 256K 512K",
        None,
        Kind::Turns(&[64 << 10, 128 << 10, 256 << 10, 512 << 10]),
    ),
    workload(5, "exact: as basic", Some(FOUR), Kind::Turns(FOUR)),
    workload(
        6,
        "inexact: 512 2K 8K 32K",
        Some(FOUR),
        Kind::Turns(&[512, 2 << 10, 8 << 10, 32 << 10]),
    ),
    workload(
        7,
        "oversized: 128K 256K 512K 1M",
        Some(FOUR),
        Kind::Turns(&[128 << 10, 256 << 10, 512 << 10, 1 << 20]),
    ),
    workload(8, "high frequency: 1K", Some(FOUR), Kind::Turns(&[1 << 10])),
    workload(9, "batch of 100: 4K, 1K", Some(FOUR), Kind::Batch),
    workload(10, "mixed: 64 to 64K", Some(SIX), Kind::Mixed),
    workload(
        11,
        "find class",
        Some(ELEVEN),
        Kind::Find(&[
            32, 100, 300, 700, 1500, 3000, 6000, 12000, 25000, 50000, 100_000,
        ]),
    ),
    workload(12, "find exact class", Some(ELEVEN), Kind::Find(ELEVEN)),
    workload(
        13,
        "default classes: 64 to 256K",
        None,
        Kind::Turns(&[
            64,
            256,
            1 << 10,
            4 << 10,
            8 << 10,
            16 << 10,
            64 << 10,
            256 << 10,
        ]),
    ),
    workload(
        14,
        "pressure: 50 of 1K 2K 4K, trims",
        Some(THREE),
        Kind::Pressure,
    ),
    workload(
        15,
        "platform's sizes: 1K 4K",
        None,
        Kind::Turns(&[1 << 10, 4 << 10]),
    ),
    workload(16, "statistics", Some(FOUR), Kind::Statistics),
    workload(0, "64", None, Kind::Turns(&[64])),
    workload(0, "256", None, Kind::Turns(&[256])),
    workload(0, "1K", None, Kind::Turns(&[1 << 10])),
    workload(0, "4K", None, Kind::Turns(&[4 << 10])),
];

impl Kind {
    /// Whether clearing makes a difference.
    pub fn can_clear(self) -> bool {
        !matches!(self, Kind::Find(_) | Kind::Statistics)
    }

    /// Does operation number `i`; `None` if the contestant cannot.
    #[inline]
    pub fn operate<C: Contestant>(self, contestant: &C, i: usize, clear: bool) -> Option<()> {
        match self {
            Kind::Turns(lengths) => one(contestant, lengths[i % lengths.len()], clear),
            Kind::Mixed => {
                let group = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2][i % 10];
                one(contestant, SIX[2 * group + i % 2], clear);
            }
            Kind::Batch => {
                let mut held = [std::ptr::null_mut(); 100];
                for (j, address) in held.iter_mut().enumerate() {
                    let length = if j % 2 == 0 { 4 << 10 } else { 1 << 10 };
                    *address = get_and_touch(contestant, length, clear);
                }
                release_all(contestant, &held);
            }
            Kind::Pressure => {
                let mut held = [std::ptr::null_mut(); 50];
                for (j, address) in held.iter_mut().enumerate() {
                    *address = get_and_touch(contestant, 1024 << (j % 3), clear);
                }
                release_all(contestant, &held[..25]);
                if i.is_multiple_of(100) {
                    contestant.trim();
                }
                release_all(contestant, &held[25..]);
            }
            Kind::Find(lengths) => {
                // Longer ones than all classes hold are a question too.
                contestant.size_for(64)?;
                black_box(contestant.size_for(black_box(lengths[i % lengths.len()])));
            }
            Kind::Statistics => return None,
        }
        Some(())
    }
}

#[inline]
fn one<C: Contestant>(contestant: &C, length: usize, clear: bool) {
    let address = get(contestant, length, clear);
    // SAFETY: just got, and not used any more.
    unsafe { contestant.release(black_box(address)) };
}

#[inline]
fn get<C: Contestant>(contestant: &C, length: usize, clear: bool) -> *mut u8 {
    let address = contestant.get(black_box(length));
    assert!(!address.is_null());
    if clear {
        // SAFETY: as many bytes were asked for.
        unsafe { address.write_bytes(0, black_box(length)) };
    }
    address
}

fn get_and_touch<C: Contestant>(contestant: &C, length: usize, clear: bool) -> *mut u8 {
    let address = get(contestant, length, clear);
    // SAFETY: all lengths are above 0.
    unsafe { address.write_volatile(1) };
    address
}

fn release_all<C: Contestant>(contestant: &C, held: &[*mut u8]) {
    for address in held {
        // SAFETY: each was got once, and is not used any more.
        unsafe { contestant.release(*address) };
    }
}
