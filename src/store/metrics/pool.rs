//! The buffer pool of the process as metrics.

use super::text::{Metric, Text};
use crate::memory::batch_arena;
use crate::memory::buffer_pool::{ClassStatistics, LargeStatistics, Statistics};

type OfClass = fn(&ClassStatistics) -> u64;

const OF_CLASSES: [(Metric, OfClass); 4] = [
    (
        Metric::counter("pool_gets_total", "Buffers handed out, by size class"),
        |class| class.gets,
    ),
    (
        Metric::counter(
            "pool_hits_total",
            "Of these, how many had waited in the pool",
        ),
        |class| class.hits,
    ),
    (
        Metric::gauge(
            "pool_buffers_in_use",
            "Buffers that callers hold, by size class",
        ),
        |class| class.in_use,
    ),
    (
        Metric::gauge(
            "pool_buffers_pooled",
            "Buffers that wait in magazines, by size class",
        ),
        |class| class.pooled,
    ),
];

const FRAGMENTATION: Metric = Metric::gauge(
    "region_fragmentation_ratio",
    "Which part of the memory of regions waits for its next use, from 0 to 1",
);

const BATCH_BYTES: Metric = Metric::gauge(
    "batch_bytes",
    "Bytes of all batches of the process, used or not yet",
);

/// Writes all counts. The class of what is larger than any is `large`.
pub(super) fn write(text: &mut Text, statistics: &Statistics) {
    let LargeStatistics {
        gets,
        hits,
        in_use,
        bytes_in_use,
        pooled,
        mapped_bytes,
        idle_bytes,
        free_neighbours,
        coalesced,
    } = statistics.large;
    for ((metric, of_class), large) in OF_CLASSES.iter().zip([gets, hits, in_use, pooled]) {
        text.begin(metric);
        for class in statistics.classes() {
            let size = class.size.to_string();
            text.value(metric, &[("class", &size)], of_class(class));
        }
        text.value(metric, &[("class", "large")], large);
    }
    let simple = [
        (
            Metric::gauge(
                "pool_large_bytes",
                "Bytes of large buffers that callers hold",
            ),
            bytes_in_use,
        ),
        (
            Metric::counter(
                "pool_oversize_total",
                "Requests for more than the largest class holds",
            ),
            statistics.oversize,
        ),
        (
            Metric::counter(
                "pool_refused_total",
                "Pointers that were to be freed and were none of a buffer in use",
            ),
            statistics.refused,
        ),
        (
            Metric::gauge(
                "pool_span_bytes",
                "Bytes of addresses that classes have taken",
            ),
            statistics.span_bytes,
        ),
        (
            Metric::gauge("pool_idle_bytes", "Bytes that wait for their next use"),
            statistics.idle_bytes,
        ),
        (
            Metric::gauge("pool_idle_limit_bytes", "Bytes that may wait at most"),
            statistics.idle_limit,
        ),
        (
            Metric::gauge("pool_threads", "Threads that have magazines"),
            statistics.threads,
        ),
        (
            Metric::gauge(
                "region_mapped_bytes",
                "Bytes of addresses of the regions that large buffers and blocks of batches lie in",
            ),
            mapped_bytes,
        ),
        (
            Metric::gauge(
                "region_allocated_bytes",
                "Of these, bytes of buffers and blocks in use",
            ),
            bytes_in_use,
        ),
        (
            Metric::gauge(
                "region_idle_bytes",
                "Bytes of memory in regions that wait for their next use",
            ),
            idle_bytes,
        ),
        (
            Metric::counter(
                "region_free_neighbours_total",
                "Free neighbours that buffers and blocks in regions had when they were freed",
            ),
            free_neighbours,
        ),
        (
            Metric::counter(
                "region_coalesced_total",
                "Of these, how many were joined with what was freed",
            ),
            coalesced,
        ),
    ];
    for (metric, value) in simple {
        text.single(&metric, &[], value);
    }
    text.single(&FRAGMENTATION, &[], statistics.large.fragmentation());
    text.single(&BATCH_BYTES, &[], batch_arena::bytes_of_process());
}
