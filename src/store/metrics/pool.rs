//! The buffer pool of the process as metrics.

use super::text::{Metric, Text};
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

/// Writes all counts. The class of what is larger than any is `large`.
pub(super) fn write(text: &mut Text, statistics: &Statistics) {
    let LargeStatistics {
        gets,
        hits,
        in_use,
        bytes_in_use,
        pooled,
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
    ];
    for (metric, value) in simple {
        text.single(&metric, &[], value);
    }
}
