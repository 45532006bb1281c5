/* A store does what a dictionary does, through every function that reads or writes. */
#include "check.h"

static void values_are_stored_replaced_and_removed(freyja_db *db) {
    check_missing(db, "a", 1);
    CHECK_OK(put_text(db, "a", "first"));
    check_text(db, "a", "first");
    CHECK(count_of(db) == 1);
    CHECK_OK(put_text(db, "a", "second, and longer"));
    check_text(db, "a", "second, and longer");
    CHECK(count_of(db) == 1);
    CHECK_OK(put_text(db, "b", "other"));
    CHECK_OK(delete_text(db, "a"));
    check_missing(db, "a", 1);
    check_text(db, "b", "other");
    CHECK(count_of(db) == 1);
    CHECK_STATUS(delete_text(db, "a"), FREYJA_NOT_FOUND);
    CHECK_OK(put_text(db, "a", "again"));
    check_text(db, "a", "again");
}

static void deleting_a_missing_key_writes_nothing(freyja_db *db) {
    freyja_stats_t before = stats_of(db);
    CHECK_STATUS(delete_text(db, "never there"), FREYJA_NOT_FOUND);
    freyja_stats_t after = stats_of(db);
    CHECK(after.last_sequence == before.last_sequence);
    CHECK(after.disk_bytes == before.disk_bytes);
}

static void an_empty_value_is_a_value(freyja_db *db) {
    uint64_t before = count_of(db);
    CHECK_OK(freyja_put(db, "empty", 5, NULL, 0));
    check_text(db, "empty", "");
    CHECK(count_of(db) == before + 1);
    CHECK_OK(freyja_put(db, "empty", 5, "", 0));
    check_text(db, "empty", "");
    CHECK_OK(delete_text(db, "empty"));
    check_missing(db, "empty", 5);
}

static void an_empty_key_is_a_key(freyja_db *db) {
    check_missing(db, NULL, 0);
    CHECK_OK(freyja_put(db, NULL, 0, "of the empty key", 16));
    check_text(db, "", "of the empty key");
    check_value(db, NULL, 0, "of the empty key", 16);
    CHECK_OK(freyja_put(db, "", 0, NULL, 0));
    check_text(db, "", "");
    CHECK_OK(freyja_delete(db, "x", 0));
    check_missing(db, "", 0);
}

static void a_buffer_that_is_too_small_is_left_alone(freyja_db *db) {
    char buffer[8] = "-------";
    size_t length = 0;
    CHECK_OK(put_text(db, "k", "12345"));
    CHECK_STATUS(freyja_get_into(db, "k", 1, buffer, 4, &length), FREYJA_RANGE);
    CHECK(length == 5 && strcmp(buffer, "-------") == 0);
    length = 0;
    CHECK_STATUS(freyja_get_into(db, "k", 1, NULL, 0, &length), FREYJA_RANGE);
    CHECK(length == 5);
    CHECK_OK(freyja_get_into(db, "k", 1, buffer, 5, &length));
    CHECK(length == 5 && strcmp(buffer, "12345--") == 0);
    CHECK_OK(freyja_put(db, "k", 1, NULL, 0));
    CHECK_OK(freyja_get_into(db, "k", 1, NULL, 0, &length));
    CHECK(length == 0);
}

static void a_location_tells_where_the_newest_record_lies(freyja_db *db) {
    freyja_location first, second;
    CHECK_OK(put_text(db, "where", "here"));
    CHECK_OK(freyja_locate(db, "where", 5, &first, sizeof first));
    CHECK(first.struct_size == sizeof first && first.reserved == 0);
    CHECK(first.segment_id >= 1 && first.offset > 0 && first.length >= 9);
    CHECK(first.sequence == stats_of(db).last_sequence);
    CHECK_OK(put_text(db, "where", "there"));
    CHECK_OK(freyja_locate(db, "where", 5, &second, sizeof second));
    CHECK(second.sequence > first.sequence);
    CHECK(second.segment_id != first.segment_id || second.offset >= first.offset + first.length);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    freyja_db *db = open_store(path_in(argv[1], "store"), NULL);
    CHECK(count_of(db) == 0);
    values_are_stored_replaced_and_removed(db);
    deleting_a_missing_key_writes_nothing(db);
    an_empty_value_is_a_value(db);
    an_empty_key_is_a_key(db);
    a_buffer_that_is_too_small_is_left_alone(db);
    a_location_tells_where_the_newest_record_lies(db);
    CHECK_OK(freyja_sync(db));
    CHECK_OK(freyja_close(db));
    CHECK_OK(freyja_close(NULL));
    return 0;
}
