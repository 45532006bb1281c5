//! The pressure on a memory budget as metrics.

use super::text::{Metric, Text};
use crate::memory::pressure::{Assessment, HORIZONS};

const LEVEL: Metric = Metric::gauge(
    "memory_pressure_level",
    "How full the memory budget is: 0 normal, 1 monitor, 2 gentle, 3 aggressive, 4 emergency",
);
const TREND: Metric = Metric::gauge(
    "memory_trend",
    "Where memory in use goes: 0 decreasing, 1 stable, 2 increasing, 3 critical",
);
const RATE: Metric = Metric::gauge(
    "memory_growth_bytes_per_second",
    "Bytes that memory in use grows by in a second",
);
const SAMPLES: Metric = Metric::gauge("memory_samples", "Samples that the forecast rests on");
const FORECAST: Metric = Metric::gauge(
    "memory_forecast_bytes",
    "Memory expected to be in use after some time",
);
const CONFIDENCE: Metric = Metric::gauge(
    "memory_forecast_confidence_ratio",
    "How sure the forecast is, from 0 to 1",
);
const CRITICAL: Metric = Metric::gauge(
    "memory_critical_seconds",
    "Time until growth is refused, if it goes on like this; +Inf if it does not come to that, or nothing is known",
);

/// Writes what was assessed; before there is a forecast, what is in use is expected.
pub(super) fn write(text: &mut Text, store: &str, assessment: &Assessment) {
    let labels = [("store", store)];
    let simple = [
        (LEVEL, assessment.level as u64 as f64),
        (TREND, assessment.trend as u64 as f64),
        (RATE, assessment.rate),
        (SAMPLES, assessment.samples as f64),
    ];
    for (metric, value) in simple {
        text.single(&metric, &labels, value);
    }
    match assessment.time_to_critical {
        Some(time) => text.single(&CRITICAL, &labels, time.as_secs_f64()),
        None => text.single(&CRITICAL, &labels, "+Inf"),
    }
    let forecast = assessment.forecast.as_ref();
    let confidence = forecast.map_or(0.0, |forecast| forecast.confidence);
    text.single(&CONFIDENCE, &labels, confidence);
    text.begin(&FORECAST);
    let expected = forecast.map_or([assessment.used; 3], |it| it.used);
    for (seconds, used) in HORIZONS.iter().zip(expected) {
        let seconds = seconds.to_string();
        let labels = [("store", store), ("after_seconds", &seconds)];
        text.value(&FORECAST, &labels, used);
    }
}
