use super::*;
use crate::store::packed::OPERATION_BYTES;
use crate::store::packed::tests::{deletion, put};

fn refusal(result: Result<()>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn operations_of_all_kinds_and_lengths_are_found_again_and_counted() {
    let long = vec![9; 300_000];
    let key = vec![7; MAX_KEY_LEN];
    let expiring = |moment| Operation {
        expires_at_ms: Some(moment),
        ..put(&key, &long[..200])
    };
    let operations = [
        put(b"", b""),
        deletion(b""),
        expiring(1),
        put(&key, b"value"),
        deletion(&key),
        put(b"0123456789012345678901234567890", &long[..127]),
        put(b"01234567890123456789012345678901", &long[..128]),
        expiring(u64::MAX),
        put(b"key", &long),
        deletion(b"key"),
    ];
    let mut packing = Packing::default();
    for _ in 0..100 {
        for operation in &operations {
            packing.add(operation).unwrap();
        }
    }
    let kept = packing.operations();
    assert!(
        kept.iter()
            .eq(operations.iter().copied().cycle().take(1000))
    );
    assert_eq!((kept.len(), kept.puts()), (1000, 700));
    assert!(kept.has_expiring());
    let counted = operations.iter().map(Operation::counted_bytes).sum::<u64>();
    assert_eq!(kept.counted_bytes(), 100 * counted);
    assert!(kept.records().filter(|record| !record.continues).count() == 1);
}

#[test]
fn a_key_that_is_too_long_is_refused_and_changes_nothing() {
    let long = vec![0; MAX_KEY_LEN + 1];
    let mut packing = Packing::default();
    packing.add(&put(b"key", b"value")).unwrap();
    assert_eq!(
        refusal(packing.add(&deletion(&long))),
        Some(ErrorKind::TooLarge)
    );
    assert!(packing.operations().iter().eq([put(b"key", b"value")]));
}

#[test]
fn what_would_exceed_the_limit_is_refused_by_the_operation_that_would() {
    for limit_bytes in [2 * OPERATION_BYTES + 18, MAX_BATCH_BYTES] {
        let mut packing = Packing::new(None, limit_bytes);
        packing.add(&put(b"key", b"value")).unwrap();
        // As if operations of so many bytes had been added: to add them takes up to 4 GiB.
        packing.end.counted_bytes = limit_bytes - OPERATION_BYTES - 10;
        let one_more = put(b"12345", b"123456");
        assert_eq!(refusal(packing.add(&one_more)), Some(ErrorKind::TooLarge));
        assert_eq!(packing.operations().len(), 1);
        packing.add(&put(b"12345", b"12345")).unwrap();
        assert_eq!(packing.operations().counted_bytes(), limit_bytes);
        assert_eq!(
            refusal(packing.add(&deletion(b""))),
            Some(ErrorKind::TooLarge)
        );
        packing.clear();
        packing.add(&one_more).unwrap();
    }
}

#[test]
fn whether_something_expires_is_known_after_what_does_was_taken_out_again() {
    let mut packing = Packing::default();
    packing.add(&put(b"key", b"value")).unwrap();
    let before = packing.end();
    let expiring = Operation {
        expires_at_ms: Some(5),
        ..put(b"key", b"value")
    };
    packing.add(&expiring).unwrap();
    assert!(packing.operations().has_expiring());
    packing.cut(before);
    assert!(!packing.operations().has_expiring());
    assert_eq!(packing.operations().puts(), 1);
}
