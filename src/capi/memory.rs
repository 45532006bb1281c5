//! The memory budget of a store: how full it is, and what is told of that.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use super::database::{reading, writing};
use super::db::freyja_db;
use super::status::freyja_status::*;
use super::structs::{Growing, Place};
use crate::memory::pressure::{Assessment, Level, Thresholds, Trend};
use crate::store::MemoryCallback;
use freyja_memory_level::*;
use freyja_memory_trend::*;

/// Values of freyja_memory_pressure_t.level: how full the memory budget is, and so what is done.
#[repr(C)]
pub enum freyja_memory_level {
    /// There is enough, or no limit.
    FREYJA_MEMORY_NORMAL = 0,
    /// It is watched.
    FREYJA_MEMORY_MONITOR = 1,
    /// Memory that waits for its next use goes back to the system, also what waits in the buffer pool.
    FREYJA_MEMORY_GENTLE = 2,
    /// The index is made smaller where keys have gone.
    FREYJA_MEMORY_AGGRESSIVE = 3,
    /// What would take more memory is answered with FREYJA_MEMORY.
    FREYJA_MEMORY_EMERGENCY = 4,
}

/// Values of freyja_memory_pressure_t.trend: the change of what is in use from one sample to the next, which are five seconds apart.
#[repr(C)]
pub enum freyja_memory_trend {
    /// More than half a per cent comes back.
    FREYJA_TREND_DECREASING = 0,
    /// It is within half a per cent.
    FREYJA_TREND_STABLE = 1,
    /// It is half a per cent to two per cent more.
    FREYJA_TREND_INCREASING = 2,
    /// It is more than two per cent more.
    FREYJA_TREND_CRITICAL = 3,
}

const _: () = {
    assert!(Level::Normal as u32 == FREYJA_MEMORY_NORMAL as u32);
    assert!(Level::Monitor as u32 == FREYJA_MEMORY_MONITOR as u32);
    assert!(Level::Gentle as u32 == FREYJA_MEMORY_GENTLE as u32);
    assert!(Level::Aggressive as u32 == FREYJA_MEMORY_AGGRESSIVE as u32);
    assert!(Level::Emergency as u32 == FREYJA_MEMORY_EMERGENCY as u32);
    assert!(Trend::Decreasing as u32 == FREYJA_TREND_DECREASING as u32);
    assert!(Trend::Stable as u32 == FREYJA_TREND_STABLE as u32);
    assert!(Trend::Increasing as u32 == FREYJA_TREND_INCREASING as u32);
    assert!(Trend::Critical as u32 == FREYJA_TREND_CRITICAL as u32);
};

/// How full a memory budget is, and where that goes. Samples are taken every five seconds where there is a budget: by the
/// background thread, or by freyja_maintain.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct freyja_memory_pressure_t {
    /// Bytes of this struct that the library knows: fields beyond are 0.
    pub struct_size: u32,
    /// A value of freyja_memory_level.
    pub level: u32,
    /// A value of freyja_memory_trend.
    pub trend: u32,
    /// How sure the forecast is, in thousandths; 0 before there have been twelve samples, when nothing is forecast.
    pub confidence: u32,
    /// Bytes in use, as the budget counts them.
    pub used_bytes: u64,
    /// The budget in bytes; 0 without a limit.
    pub budget_bytes: u64,
    /// Bytes by which use grows in a second; negative if memory comes back.
    pub bytes_per_second: i64,
    /// Bytes expected to be in use after 30 seconds; used_bytes before there is a forecast, here and below.
    pub forecast_30_seconds: u64,
    /// After 60 seconds.
    pub forecast_60_seconds: u64,
    /// After 120 seconds.
    pub forecast_120_seconds: u64,
    /// Milliseconds until growth is refused, if it goes on like this; UINT64_MAX if it does not come to that, or nothing is known.
    pub milliseconds_to_critical: u64,
    /// Samples that this rests on.
    pub samples: u64,
}

// SAFETY: four `u32`, seven `u64` and an `i64` leave no padding.
unsafe impl Growing for freyja_memory_pressure_t {
    const FIRST_SIZE: usize = 80;
    const NAME: &'static str = "freyja_memory_pressure_t";
}

const _: () = assert!(size_of::<freyja_memory_pressure_t>() == 80);

/// Told when the level of pressure on a store's memory budget changes, and when the store has acted on it. It runs in the store's
/// background thread, or in freyja_maintain; never in a call that reads or writes. It may read and write the store, but must
/// not call freyja_close, freyja_maintain or freyja_memory_set_callback for it, nor leave other than by returning. `pressure` is valid
/// until it returns.
pub type freyja_memory_callback =
    Option<unsafe extern "C" fn(user: *mut c_void, pressure: *const freyja_memory_pressure_t)>;

/// Tells how full the memory budget of a store is, and when it will be full. Takes some microseconds.
///
/// @param[out] out     the answer.
/// @param struct_size  sizeof(freyja_memory_pressure_t).
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_memory_pressure(
    db: *mut freyja_db,
    out: *mut freyja_memory_pressure_t,
    struct_size: usize,
) -> c_int {
    reading(db, |store| {
        // SAFETY: callers pass NULL, or have as many bytes there as they say (header, convention 3).
        let out = unsafe { Place::new(out, struct_size)? };
        let pressure = of_assessment(&store.memory_pressure()?);
        out.set(&pressure);
        Ok(FREYJA_OK)
    })
}

/// Changes the memory budget of a store, which freyja_options.memory_budget set at first. If the store has more than that
/// already, what would take more is refused until enough has been deleted.
///
/// @param bytes  the budget; 0 for no limit, or FREYJA_BUDGET_AUTO.
/// @return FREYJA_OK; FREYJA_INVALID if not even an empty store works with as little; FREYJA_UNSUPPORTED if FREYJA_BUDGET_AUTO
///         cannot find out how much there is; FREYJA_CLOSED, FREYJA_FORKED.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn freyja_memory_set_budget(db: *mut freyja_db, bytes: u64) -> c_int {
    writing(db, |store| {
        store.set_memory_budget(bytes)?;
        Ok(FREYJA_OK)
    })
}

/// Changes from where on a store acts on memory pressure, in thousandths of its budget; at first 700, 800, 900 and 950. Growth is
/// refused from the last one on, and in any case where less than 512 KiB would be left.
///
/// @param monitor     where FREYJA_MEMORY_MONITOR begins.
/// @param gentle      where FREYJA_MEMORY_GENTLE begins.
/// @param aggressive  where FREYJA_MEMORY_AGGRESSIVE begins.
/// @param emergency   where FREYJA_MEMORY_EMERGENCY begins.
/// @return FREYJA_OK; FREYJA_INVALID unless they rise, from 1 to 1000 at most; FREYJA_CLOSED, FREYJA_FORKED.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn freyja_memory_set_thresholds(
    db: *mut freyja_db,
    monitor: u32,
    gentle: u32,
    aggressive: u32,
    emergency: u32,
) -> c_int {
    writing(db, |store| {
        store.set_memory_thresholds(Thresholds {
            monitor,
            gentle,
            aggressive,
            emergency,
        })?;
        Ok(FREYJA_OK)
    })
}

/// Sets who is told of memory pressure on a store, in the place of who was before. When this returns, the callback before is not
/// running any more; after freyja_close none is.
///
/// @param callback  told from now on; NULL for none.
/// @param user      passed to it.
/// @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_memory_set_callback(
    db: *mut freyja_db,
    callback: freyja_memory_callback,
    user: *mut c_void,
) -> c_int {
    writing(db, |store| {
        let callback = callback.map(|function| -> MemoryCallback {
            let listener = Listener { function, user };
            Box::new(move |assessment| listener.tell(assessment))
        });
        store.set_memory_callback(callback)?;
        Ok(FREYJA_OK)
    })
}

struct Listener {
    function: unsafe extern "C" fn(*mut c_void, *const freyja_memory_pressure_t),
    user: *mut c_void,
}

// SAFETY: callers know that the function runs in another thread, and what it is told with it (its description).
unsafe impl Send for Listener {}
// SAFETY: as above; one thread at a time calls it.
unsafe impl Sync for Listener {}

impl Listener {
    fn tell(&self, assessment: &Assessment) {
        let pressure = of_assessment(assessment);
        // SAFETY: callers pass a function that is what its type says, and leave it callable until they set another or close the
        // store.
        unsafe { (self.function)(self.user, &raw const pressure) };
    }
}

fn of_assessment(assessment: &Assessment) -> freyja_memory_pressure_t {
    let forecast = assessment.forecast.as_ref();
    let [after_30, after_60, after_120] = forecast.map_or([assessment.used; 3], |it| it.used);
    let time = assessment.time_to_critical;
    freyja_memory_pressure_t {
        struct_size: size_of::<freyja_memory_pressure_t>() as u32,
        level: assessment.level as u32,
        trend: assessment.trend as u32,
        confidence: forecast.map_or(0, |it| (it.confidence * 1000.0) as u32),
        used_bytes: assessment.used,
        budget_bytes: assessment.budget,
        bytes_per_second: assessment.rate as i64,
        forecast_30_seconds: after_30,
        forecast_60_seconds: after_60,
        forecast_120_seconds: after_120,
        milliseconds_to_critical: time.map_or(u64::MAX, |time| time.as_millis() as u64),
        samples: assessment.samples as u64,
    }
}
