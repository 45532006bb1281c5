//! How well the regions of large buffers are used while buffers of all lengths come and go.

use freyja::memory::buffer_pool::{Buffer, BufferPool, Fit};

use crate::clocks::processor_time;
use crate::report::grouped;
use crate::resident::Resident;
use crate::table::Table;

/// About as many bytes are in buffers all the time.
const LIVE_BYTES: usize = 256 << 20;

/// Gets and releases.
const STEPS: usize = 20_000;

const FITS: [(Fit, &str); 3] = [
    (Fit::Best, "best"),
    (Fit::First, "first"),
    (Fit::Worst, "worst"),
];

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }

    /// 64 KiB to 8 MiB, each doubling as often.
    fn length(&mut self) -> usize {
        let doublings = self.below(7);
        (64 << 10 << doublings) + self.below(64 << 10 << doublings)
    }
}

pub fn section() -> String {
    let headings = [
        "fit",
        "in use, MiB",
        "fragmentation",
        "as the system counts",
        "of addresses",
        "coalesced, %",
        "get and release, µs",
        "after all were freed, MiB",
        "after a trim, MiB",
    ];
    let mut table = Table::new(1, &headings);
    for (fit, name) in FITS {
        table.add(row(fit, name));
    }
    format!(
        "## Regions\n\n\
         Buffers of 64 KiB to 8 MiB, each doubling as often, come and go {} times while about {} MiB are in use; a byte of every page is \
         written.\nFragmentation is the part of the regions' memory that is in no buffer, as counted by the pool, and as the growth of \
         `RssAnon` + `RssShmem` tells;\n\"of addresses\" that of the addresses that are mapped. Coalesced are free neighbours of buffers that \
         were joined with them when they were freed. Processor time, with the writing.\n\n{table}",
        grouped(STEPS as u64),
        LIVE_BYTES >> 20
    )
}

fn get<'p>(pool: &'p BufferPool, length: usize) -> Buffer<'p> {
    let mut buffer = pool.get(length).expect("there is memory");
    for page in buffer.content().chunks_mut(4096) {
        page[0].write(1);
    }
    buffer
}

fn row(fit: Fit, name: &str) -> Vec<String> {
    // All lengths are above the only class.
    let pool = BufferPool::with_classes(&[64]).expect("there are addresses");
    pool.set_fit(fit);
    let mut random = Random(99);
    let mut live: Vec<(Buffer<'_>, usize)> = Vec::with_capacity(STEPS);
    let resident = Resident::open();
    let before = resident.bytes();
    let mut in_use = 0;
    let began = processor_time();
    for _ in 0..STEPS {
        let length = random.length();
        while in_use + length > LIVE_BYTES {
            let place = random.below(live.len());
            in_use -= live.swap_remove(place).1;
        }
        in_use += length;
        live.push((get(&pool, length), length));
    }
    let time = processor_time() - began;
    let seen = resident.bytes().saturating_sub(before);
    let churned = pool.statistics().large;
    drop(live);
    let freed = resident.bytes().saturating_sub(before);
    pool.trim();
    let trimmed = resident.bytes().saturating_sub(before);
    assert_eq!(pool.statistics().large.in_use, 0);
    let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / (1 << 20) as f64);
    let unused = |bytes: u64| format!("{:.3}", 1.0 - churned.bytes_in_use as f64 / bytes as f64);
    vec![
        name.to_owned(),
        mebibytes(churned.bytes_in_use),
        format!("{:.3}", churned.fragmentation()),
        unused(seen),
        unused(churned.mapped_bytes),
        format!(
            "{:.1}",
            churned.coalesced as f64 / churned.free_neighbours as f64 * 100.0
        ),
        format!("{:.1}", time as f64 / STEPS as f64 / 1000.0),
        mebibytes(freed),
        mebibytes(trimmed),
    ]
}
