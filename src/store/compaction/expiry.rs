//! How much of a segment has expired, as far as that is worth knowing.
//!
//! Nobody counts pairs when they expire. So before segments are chosen, the heads of the records are looked at in those that
//! hold pairs with an expiry, and then not again before about half of what was left has expired. Where nobody writes, nobody asks:
//! so the thread that compacts wakes when it is time to look.

use std::time::Duration;

use super::Work;
use super::choice::{LEAST_PART, garbage};
use crate::error::{ErrorKind, Result};
use crate::log::record::Kind;
use crate::log::segment_header::HEADER_LEN;
use crate::store::commit_log::Scope;
use crate::store::live_segment::{LiveSegment, Look};

/// At least so many milliseconds lie between two looks.
const LEAST_WAIT_MS: u64 = 1000;
/// Nobody waits longer than so many milliseconds for the next look: other pairs may expire sooner, and the system's
/// clock may be set.
const LONGEST_WAIT_MS: u64 = 60_000;

/// Looks at the segments among `members` where it is time to. Errors: `Io`; damage is left to others.
pub fn look<'m>(work: &Work<'_>, members: impl Iterator<Item = &'m LiveSegment>) -> Result<()> {
    let now = work.log.place().vfs.wall_clock_ms();
    for live in members {
        if next_look(live) <= now {
            work.check()?;
            match look_at(work, live, now) {
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    let until = live.content_end();
                    live.usage.set_expired(&Look {
                        expired_bytes: 0,
                        look_at_ms: u64::MAX,
                        until,
                        all_expired: false,
                    });
                }
                looked => looked?,
            }
        }
    }
    Ok(())
}

/// Ends the segment that is being written if much of it has expired, so that it can be compacted: nobody may write for long.
pub fn end_active(work: &Work<'_>) -> Result<()> {
    let members = work.contents.segments.members()?;
    let Some(active) = members.iter().rfind(|live| live.sealed().is_none()) else {
        return Ok(());
    };
    let (looked_until, end) = (active.usage.looked_until(), active.content_end());
    look(work, std::iter::once(&**active))?;
    let expired = active.usage.expired_bytes();
    // Little is not worth a segment of its own, unless that is all there will be.
    let is_idle = looked_until == end;
    let least = work.shared.options.segment_size / LEAST_PART;
    if expired > 0 && garbage(active) * 2 >= end && (is_idle || garbage(active) >= least) {
        work.log.retire_active(active.segment.id())?;
        work.log.sync(Scope::FullSegments)?;
    }
    Ok(())
}

/// How long it is until the next look is due; `None` if nothing is known that is going to expire.
pub fn wait(work: &Work<'_>) -> Option<Duration> {
    let Ok(members) = work.contents.segments.members() else {
        return Some(Duration::from_millis(LONGEST_WAIT_MS));
    };
    let now = work.log.place().vfs.wall_clock_ms();
    let next = members.iter().map(|live| next_look(live)).min()?;
    let wait = next.saturating_sub(now).max(LEAST_WAIT_MS);
    (next < u64::MAX).then(|| Duration::from_millis(wait.min(LONGEST_WAIT_MS)))
}

/// When it is time to look at the segment, in milliseconds since 1970-01-01 UTC.
fn next_look(live: &LiveSegment) -> u64 {
    if !live.segment.may_expire() {
        return u64::MAX;
    }
    let has_grown = live.usage.looked_until() != live.content_end();
    match live.usage.look_at_ms() {
        u64::MAX if has_grown => 0,
        _ if has_grown && live.sealed().is_some() => 0,
        moment => moment,
    }
}

fn look_at(work: &Work<'_>, live: &LiveSegment, now: u64) -> Result<()> {
    let clock = &work.log.place().clock;
    let until = live.content_end();
    let mut expired_bytes = 0;
    let mut later = 0_u64;
    let mut logarithms = 0.0;
    let mut has_lasting = false;
    let mut offset = HEADER_LEN as u64;
    while offset < until {
        let head = live.segment.head_at(offset)?;
        match head.expires_at_ms {
            Some(moment) if clock.has_expired(Some(moment)) => expired_bytes += head.total_len,
            Some(moment) => {
                later += head.total_len;
                let wait = moment.saturating_sub(now).max(1);
                logarithms += (wait as f64).ln() * head.total_len as f64;
            }
            None => has_lasting |= head.kind == Kind::Put,
        }
        offset += head.total_len;
    }
    // The geometric mean: the few that last longest must not put off the look at all others.
    let mean_wait = match later {
        // What is still written may get more; once more, to see whether it has.
        0 if live.sealed().is_none() && live.usage.looked_until() < until => 0,
        0 => u64::MAX,
        _ => (logarithms / later as f64).exp() as u64,
    };
    #[cfg_attr(not(feature = "sabotage"), expect(unused_mut))]
    let mut all_expired = later == 0 && !has_lasting;
    sabotage!(DroppedTooEarly, all_expired |= expired_bytes > 0);
    live.usage.set_expired(&Look {
        expired_bytes,
        look_at_ms: now.saturating_add(mean_wait.max(LEAST_WAIT_MS)),
        until,
        all_expired,
    });
    Ok(())
}
