//! From the options to the budget of a store: what it must have at least, and how much is asked for by
//! [`MEMORY_BUDGET_AUTO`].

mod system;

use std::sync::Arc;

use super::options::{KeyStorage, Options};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::budget::{LEAST_RESERVE_BYTES, MemoryBudget};
use crate::vfs::Vfs;

/// As the budget: a fourth of what the process may have, which is the lowest limit of its control groups, or else the RAM of
/// the machine.
pub const MEMORY_BUDGET_AUTO: u64 = u64::MAX;

/// One part in so many of that.
const AUTO_PART: u64 = 4;

/// What an open store takes whatever is in it: the stacks of its threads as far as they are used, what the C library keeps
/// for each of them, tables, lists that are kept for the next call.
const FIXED_BYTES: usize = 384 << 10;

/// The same for the threads that compaction needs, once they run.
pub const COMPACTION_BYTES: usize = 64 << 10;

/// Both.
pub const MOST_FIXED_BYTES: usize = FIXED_BYTES + COMPACTION_BYTES;

/// What the index of an empty store takes, and some to grow.
const LEAST_INDEX_BYTES: u64 = 128 << 10;

/// The budget of a store that is opened with `options`.
///
/// # Errors
/// `Invalid` if no store works with as little; `Unsupported` if how much there is cannot be found out.
pub fn budget(vfs: &dyn Vfs, options: &Options) -> Result<Arc<MemoryBudget>> {
    let limit = resolve(vfs, options.memory_budget)?;
    check(limit, options)?;
    let budget = Arc::new(MemoryBudget::new(limit));
    budget.take_unasked(FIXED_BYTES);
    Ok(budget)
}

/// The bytes that are meant by `asked`: itself, unless it is [`MEMORY_BUDGET_AUTO`].
///
/// # Errors
/// `Unsupported` if how much there is cannot be found out.
pub fn resolve(vfs: &dyn Vfs, asked: u64) -> Result<u64> {
    if asked != MEMORY_BUDGET_AUTO {
        return Ok(asked);
    }
    match system::available_bytes(vfs) {
        Some(bytes) => Ok(bytes / AUTO_PART),
        None => Err(Error::new(
            ErrorKind::Unsupported,
            "memory_budget: neither /proc/self/cgroup nor /proc/meminfo tells how much memory there is; give a number of bytes",
        )),
    }
}

/// Refuses a limit with which not even an empty store works.
///
/// # Errors
/// `Invalid`, which names the least that works.
pub fn check(limit: u64, options: &Options) -> Result<()> {
    let least = least(options);
    if limit == 0 || limit >= least {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!(
            "memory_budget is {limit}; the least with which an empty store works is {least} bytes"
        ),
    ))
}

/// The least budget in bytes of a store with these options.
pub fn least(options: &Options) -> u64 {
    let slabs = match options.key_storage {
        KeyStorage::InMemory => 2 * options.slab_size,
        KeyStorage::OnDisk => 0,
    };
    (MOST_FIXED_BYTES + LEAST_RESERVE_BYTES) as u64 + LEAST_INDEX_BYTES + slabs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::SimulatedDisk;

    #[test]
    fn a_budget_that_no_store_works_with_is_refused_with_the_least_that_works() {
        let options = Options::default();
        let least = least(&options);
        let error = check(least - 1, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains(&least.to_string()), "{error}");
        assert!(check(least, &options).is_ok());
        assert!(check(0, &options).is_ok());
    }

    #[test]
    fn where_nothing_tells_how_much_there_is_a_number_is_asked_for() {
        let disk = SimulatedDisk::new(1);
        let error = resolve(&disk, MEMORY_BUDGET_AUTO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(resolve(&disk, 17).unwrap(), 17);
    }
}
