//! The lock under loom, which tries the interleavings of the owner and another thread, and what each may see of what
//! the other stored: `make model`.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::OwnersLock;

#[test]
fn the_owner_and_another_are_never_inside_together_and_each_sees_what_the_other_did() {
    loom::model(|| {
        let shared = Arc::new((OwnersLock::new(), UnsafeCell::new(0)));
        // Loom refuses two accesses to the cell at once, and accesses that nothing puts in an order.
        let add_one = |cell: &UnsafeCell<u32>| {
            #[allow(unsafe_code)]
            // SAFETY: inside the lock.
            cell.with_mut(|number| unsafe { *number += 1 });
        };
        let other = thread::spawn({
            let shared = shared.clone();
            move || {
                let inside = shared.0.enter_as_other();
                assert!(inside.is_some());
                add_one(&shared.1);
            }
        });
        for _ in 0..2 {
            let _inside = shared.0.enter();
            add_one(&shared.1);
        }
        other.join().unwrap();
        let _inside = shared.0.enter();
        #[allow(unsafe_code)]
        // SAFETY: inside the lock.
        let sum = shared.1.with(|number| unsafe { *number });
        assert_eq!(sum, 3);
    });
}
