//! How much of a segment has expired, as far as that is worth knowing.
//!
//! Nobody counts pairs when they expire. So before segments are chosen, the heads of the records are looked at in those that
//! hold pairs with an expiry, and then not again before about half of what was left has expired.

use super::Work;
use crate::error::{ErrorKind, Result};
use crate::log::segment_header::HEADER_LEN;
use crate::store::live_segment::LiveSegment;

/// At least so many milliseconds lie between two looks.
const LEAST_WAIT_MS: u64 = 1000;

/// Looks at the segments among `members` where it is time to. Errors: `Io`; damage is left to others.
pub fn look<'m>(work: &Work<'_>, members: impl Iterator<Item = &'m LiveSegment>) -> Result<()> {
    let now = work.log.place().vfs.wall_clock_ms();
    for live in members {
        if live.segment.may_expire() && live.usage.look_at_ms() <= now {
            work.check()?;
            match look_at(work, live, now) {
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                looked => looked?,
            }
        }
    }
    Ok(())
}

fn look_at(work: &Work<'_>, live: &LiveSegment, now: u64) -> Result<()> {
    let Some(sealed) = live.sealed() else {
        return Ok(());
    };
    let clock = &work.log.place().clock;
    let mut expired = 0;
    let mut later = 0_u64;
    let mut waits = 0_u128;
    let mut offset = HEADER_LEN as u64;
    while offset < sealed.records_end {
        let head = live.segment.head_at(offset)?;
        if let Some(moment) = head.expires_at_ms {
            if clock.has_expired(Some(moment)) {
                expired += head.total_len;
            } else {
                later += head.total_len;
                waits += u128::from(moment.saturating_sub(now)) * u128::from(head.total_len);
            }
        }
        offset += head.total_len;
    }
    let mean_wait = match later {
        0 => u64::MAX,
        _ => u64::try_from(waits / u128::from(later)).unwrap_or(u64::MAX),
    };
    let look_at = now.saturating_add(mean_wait.max(LEAST_WAIT_MS));
    live.usage.set_expired(expired, look_at);
    Ok(())
}
