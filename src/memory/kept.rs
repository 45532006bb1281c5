//! Vectors whose memory a thread keeps between two uses, so that an operation that needs some allocates nothing once it
//! has been done before.

use std::cell::Cell;
use std::thread::LocalKey;

/// A vector of more bytes is freed after use: a thread keeps no more than that of each kind.
const MOST_KEPT_BYTES: usize = 256 * 1024;

/// Where a thread keeps a vector of one kind: a thread-local value.
pub type Place<T> = LocalKey<Cell<Vec<T>>>;

/// An empty vector, with the memory that was kept if there is any.
pub fn take<T>(place: &'static Place<T>) -> Vec<T> {
    // A thread that is about to end has none.
    place.try_with(Cell::take).unwrap_or_default()
}

/// Empties a vector and keeps its memory. `U` is `T` with other lifetimes.
pub fn keep<T, U>(place: &'static Place<T>, mut vec: Vec<U>) {
    vec.clear();
    if vec.capacity() * size_of::<U>() <= MOST_KEPT_BYTES {
        // Of none, collected in place: the standard library reuses the memory where sizes are equal, and if it did not,
        // only the memory would be lost.
        let empty = vec.into_iter().filter_map(|_| None::<T>).collect();
        let _ = place.try_with(|kept| kept.set(empty));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static PLACE: Cell<Vec<&'static str>> = const { Cell::new(Vec::new()) };
    }

    #[test]
    fn memory_is_used_again_whatever_the_lifetimes() {
        let text = String::from("short-lived");
        let mut vec: Vec<&str> = take(&PLACE);
        assert_eq!(vec.capacity(), 0);
        vec.reserve_exact(100);
        vec.push(&text);
        let memory = vec.as_ptr().addr();
        keep(&PLACE, vec);
        drop(text);
        let again = take(&PLACE);
        assert_eq!((again.len(), again.capacity()), (0, 100));
        assert_eq!(again.as_ptr().addr(), memory);
        assert_eq!(take(&PLACE).capacity(), 0);
    }

    #[test]
    fn much_memory_is_not_kept() {
        let mut vec: Vec<&str> = take(&PLACE);
        vec.reserve_exact(MOST_KEPT_BYTES);
        keep(&PLACE, vec);
        assert_eq!(take(&PLACE).capacity(), 0);
    }
}
