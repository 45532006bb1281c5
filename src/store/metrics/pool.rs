//! The buffer pool of the process as metrics.

use super::text::{
    Kind::{self, Counter, Gauge},
    Metric, Text,
};
use crate::memory::buffer_pool::{ClassStatistics, LargeStatistics, Statistics};

const fn metric(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, help }
}

type OfClass = fn(&ClassStatistics) -> u64;

const OF_CLASSES: [(Metric, OfClass); 4] = [
    (
        metric(
            "pool_gets_total",
            Counter,
            "Buffers handed out, by size class",
        ),
        |class| class.gets,
    ),
    (
        metric(
            "pool_hits_total",
            Counter,
            "Of these, how many had waited in the pool",
        ),
        |class| class.hits,
    ),
    (
        metric(
            "pool_buffers_in_use",
            Gauge,
            "Buffers that callers hold, by size class",
        ),
        |class| class.in_use,
    ),
    (
        metric(
            "pool_buffers_pooled",
            Gauge,
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
            metric(
                "pool_large_bytes",
                Gauge,
                "Bytes of large buffers that callers hold",
            ),
            bytes_in_use,
        ),
        (
            metric(
                "pool_oversize_total",
                Counter,
                "Requests for more than the largest class holds",
            ),
            statistics.oversize,
        ),
        (
            metric(
                "pool_refused_total",
                Counter,
                "Pointers that were to be freed and were none of a buffer in use",
            ),
            statistics.refused,
        ),
        (
            metric(
                "pool_span_bytes",
                Gauge,
                "Bytes of addresses that classes have taken",
            ),
            statistics.span_bytes,
        ),
        (
            metric(
                "pool_idle_bytes",
                Gauge,
                "Bytes that wait for their next use",
            ),
            statistics.idle_bytes,
        ),
        (
            metric(
                "pool_idle_limit_bytes",
                Gauge,
                "Bytes that may wait at most",
            ),
            statistics.idle_limit,
        ),
        (
            metric("pool_threads", Gauge, "Threads that have magazines"),
            statistics.threads,
        ),
    ];
    for (metric, value) in simple {
        text.begin(&metric);
        text.value(&metric, &[], value);
    }
}
