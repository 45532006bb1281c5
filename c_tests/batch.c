/* Batches: all of their operations take place or none. */
#include "check.h"

#include <sys/resource.h>

static freyja_batch *new_batch(void) {
    freyja_batch *batch = NULL;
    CHECK_OK(freyja_batch_new(&batch));
    CHECK(batch != NULL);
    return batch;
}

static void add(freyja_batch *batch, const char *key, const char *value) {
    if (value != NULL)
        CHECK_OK(freyja_batch_put(batch, key, strlen(key), value, strlen(value)));
    else
        CHECK_OK(freyja_batch_delete(batch, key, strlen(key)));
}

static uint64_t operations(freyja_batch *batch) {
    uint64_t count = UINT64_MAX;
    CHECK_OK(freyja_batch_count(batch, &count));
    return count;
}

static void operations_take_place_in_order(freyja_db *db) {
    freyja_batch *batch = new_batch();
    CHECK_OK(put_text(db, "old", "0"));
    add(batch, "a", "1");
    add(batch, "b", "1");
    add(batch, "a", NULL);
    add(batch, "old", NULL);
    add(batch, "never there", NULL);
    add(batch, "a", "2");
    CHECK_OK(freyja_batch_put(batch, "empty", 5, NULL, 0));
    CHECK_OK(freyja_batch_put(batch, NULL, 0, "of the empty key", 16));
    check_missing(db, "a", 1);
    CHECK(operations(batch) == 8);
    uint64_t sequence = stats_of(db).last_sequence;
    CHECK_OK(freyja_write(db, batch));
    CHECK(stats_of(db).last_sequence == sequence + 8);
    CHECK(stats_of(db).durable_sequence == sequence + 8);
    check_text(db, "a", "2");
    check_text(db, "b", "1");
    check_text(db, "empty", "");
    check_value(db, NULL, 0, "of the empty key", 16);
    check_missing(db, "old", 3);
    CHECK(count_of(db) == 4);
    CHECK_OK(freyja_batch_free(batch));
}

static void what_is_passed_in_may_be_changed_at_once(freyja_db *db) {
    freyja_batch *batch = new_batch();
    char key[] = "mine", value[] = "yours";
    CHECK_OK(freyja_batch_put(batch, key, 4, value, 5));
    memset(key, 'x', 4);
    memset(value, 'x', 5);
    CHECK_OK(freyja_write(db, batch));
    check_text(db, "mine", "yours");
    CHECK_OK(freyja_batch_free(batch));
}

static void an_empty_batch_writes_nothing(freyja_db *db) {
    freyja_batch *batch = new_batch();
    uint64_t sequence = stats_of(db).last_sequence;
    CHECK(operations(batch) == 0);
    CHECK_OK(freyja_write(db, batch));
    CHECK(stats_of(db).last_sequence == sequence);
    CHECK_OK(freyja_batch_free(batch));
}

static void a_batch_is_written_again_and_to_another_store(freyja_db *db, const char *directory) {
    freyja_batch *batch = new_batch();
    freyja_db *other = open_store(path_in(directory, "other"), NULL);
    add(batch, "again", "and again");
    CHECK_OK(freyja_write(db, batch));
    CHECK_OK(delete_text(db, "again"));
    CHECK_OK(freyja_write(db, batch));
    check_text(db, "again", "and again");
    CHECK_OK(freyja_write(other, batch));
    check_text(other, "again", "and again");
    CHECK(operations(batch) == 1);
    CHECK_OK(freyja_close(other));
    CHECK_STATUS(freyja_write(other, batch), FREYJA_CLOSED);
    CHECK_OK(freyja_batch_free(batch));
}

static void savepoints_nest(freyja_db *db) {
    freyja_batch *batch = new_batch();
    uint64_t outer, inner, last;
    add(batch, "s1", "kept");
    CHECK_OK(freyja_batch_savepoint(batch, &outer));
    add(batch, "s2", "kept");
    CHECK_OK(freyja_batch_savepoint(batch, &inner));
    add(batch, "s3", "gone");
    CHECK_OK(freyja_batch_rollback_to(batch, inner));
    CHECK(operations(batch) == 2);
    add(batch, "s3", "gone again");
    CHECK_OK(freyja_batch_rollback_to(batch, inner));
    CHECK(operations(batch) == 2);
    CHECK_OK(freyja_batch_rollback_to(batch, outer));
    CHECK(operations(batch) == 1);
    CHECK_STATUS(freyja_batch_rollback_to(batch, inner), FREYJA_INVALID);
    CHECK_OK(freyja_batch_savepoint(batch, &last));
    CHECK(last != inner && last != outer);
    add(batch, "s2", "kept");
    CHECK_OK(freyja_write(db, batch));
    check_text(db, "s1", "kept");
    check_text(db, "s2", "kept");
    check_missing(db, "s3", 2);
    CHECK_OK(freyja_batch_clear(batch));
    CHECK(operations(batch) == 0);
    CHECK_STATUS(freyja_batch_rollback_to(batch, outer), FREYJA_INVALID);
    CHECK_STATUS(freyja_batch_rollback_to(batch, last), FREYJA_INVALID);
    CHECK_STATUS(freyja_batch_rollback_to(batch, UINT64_MAX), FREYJA_INVALID);
    CHECK_OK(freyja_batch_free(batch));
}

/* The longest value that fits beside a key of one byte. */
static size_t longest_value(uint64_t limit) {
    return (size_t)(limit - FREYJA_OPERATION_BYTES - 1);
}

static void a_limit_is_exact(freyja_db *db) {
    const struct {
        uint32_t profile;
        uint64_t limit, counts;
    } cases[] = {
        {FREYJA_BATCH_ADAPTIVE, 1000, 1000},           {FREYJA_BATCH_HUGE, 5000, 5000},
        {FREYJA_BATCH_TINY, 0, 64 << 10},              {FREYJA_BATCH_SMALL, 0, 512 << 10},
        {FREYJA_BATCH_MEDIUM, 0, 4 << 20},             {FREYJA_BATCH_LARGE, 0, 32 << 20},
        {FREYJA_BATCH_TINY, 1 << 20, 1 << 20},         {FREYJA_BATCH_ADAPTIVE, FREYJA_OPERATION_BYTES + 1, FREYJA_OPERATION_BYTES + 1},
    };
    char *value = calloc(1, 32 << 20);
    CHECK(value != NULL);
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        freyja_batch *batch;
        size_t longest = longest_value(cases[n].counts);
        CHECK_OK(freyja_batch_new_ex(cases[n].profile, cases[n].limit, &batch));
        CHECK_STATUS(freyja_batch_put(batch, "k", 1, value, longest + 1), FREYJA_TOO_LARGE);
        CHECK(operations(batch) == 0);
        CHECK_OK(freyja_batch_put(batch, "k", 1, value, longest));
        CHECK_STATUS(freyja_batch_delete(batch, "", 0), FREYJA_TOO_LARGE);
        CHECK(operations(batch) == 1);
        CHECK_OK(freyja_write(db, batch));
        CHECK_OK(freyja_batch_clear(batch));
        CHECK_STATUS(freyja_batch_put(batch, "k", 1, value, longest + 1), FREYJA_TOO_LARGE);
        CHECK_OK(freyja_batch_put(batch, "k", 1, value, longest));
        CHECK_OK(freyja_batch_free(batch));
    }
    free(value);
    freyja_batch *batch = NULL;
    CHECK_STATUS(freyja_batch_new_ex(6, 0, &batch), FREYJA_INVALID);
    CHECK_STATUS(freyja_batch_new_ex(FREYJA_BATCH_TINY, 0, NULL), FREYJA_INVALID);
    CHECK(batch == NULL);
}

/* The address space is filled up, so that a batch gets no more memory. */
static void without_memory_a_batch_keeps_what_it_has(freyja_db *db) {
    const size_t length = 1 << 20;
    struct rlimit limit, low;
    size_t pages = 0;
    char line[256], *value = calloc(1, length);
    if (is_slow_run()) { /* such tools need the address space themselves */
        free(value);
        return;
    }
    CHECK(value != NULL);
    freyja_batch *batch = new_batch();
    uint64_t count = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fgets(line, sizeof line, file) != NULL && sscanf(line, "%zu", &pages) == 1);
    fclose(file);
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    low = limit;
    low.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + (32 << 20);
    CHECK(setrlimit(RLIMIT_AS, &low) == 0);
    int status = FREYJA_OK;
    for (; count < 100 && status == FREYJA_OK; count += status == FREYJA_OK)
        status = freyja_batch_put(batch, &count, sizeof count, value, length);
    CHECK_STATUS(status, FREYJA_MEMORY);
    CHECK(count > 5 && operations(batch) == count);
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    CHECK_OK(freyja_batch_put(batch, &count, sizeof count, value, length));
    CHECK_OK(freyja_write(db, batch));
    for (uint64_t key = 0; key <= count; key++)
        check_value(db, &key, sizeof key, value, length);
    CHECK_OK(freyja_batch_free(batch));
    free(value);
}

/* As long as it lives a batch takes about as much as is in it, and nothing afterwards. */
static void what_batches_take_is_told(freyja_db *db) {
    uint64_t before = stats_of(db).batch_bytes;
    freyja_batch *batch = new_batch();
    char value[1000] = {0};
    for (int n = 0; n < 3000; n++)
        CHECK_OK(freyja_batch_put(batch, &n, sizeof n, value, sizeof value));
    freyja_stats_t stats = stats_of(db);
    CHECK(stats.batch_bytes - before >= 3000 * 1004 && stats.batch_bytes - before <= 3000 * 1004 * 11 / 10);
    CHECK(stats.region_allocated_bytes > 0 && stats.region_mapped_bytes >= stats.region_allocated_bytes);
    CHECK(stats.region_coalesced <= stats.region_free_neighbours);
    CHECK_OK(freyja_batch_free(batch));
    CHECK(stats_of(db).batch_bytes == before);
    CHECK(stats_of(db).region_allocated_bytes < stats.region_allocated_bytes);
}

static void a_batch_larger_than_a_segment_is_written_too(const char *directory) {
    freyja_options options = default_options();
    options.segment_size = 4096;
    options.sync_mode = FREYJA_SYNC_NONE;
    const char *path = path_in(directory, "large");
    freyja_db *db = open_store(path, &options);
    freyja_batch *batch = new_batch();
    char key[32], value[100];
    for (int n = 0; n < 500; n++) {
        memset(value, n, sizeof value);
        int length = snprintf(key, sizeof key, "key %d", n);
        CHECK_OK(freyja_batch_put(batch, key, (size_t)length, value, sizeof value));
    }
    CHECK_OK(freyja_write(db, batch));
    CHECK_OK(freyja_batch_free(batch));
    CHECK_OK(freyja_close(db));
    db = open_store(path, &options);
    CHECK(count_of(db) == 500);
    for (int n = 0; n < 500; n++) {
        memset(value, n, sizeof value);
        int length = snprintf(key, sizeof key, "key %d", n);
        check_value(db, key, (size_t)length, value, sizeof value);
    }
    CHECK_OK(freyja_close(db));
}

/* Operations in one buffer, as freyja_write_packed takes them. */
struct packing {
    unsigned char bytes[4096];
    size_t length;
};

static void pack_number(struct packing *packing, uint64_t number, size_t bytes) {
    for (size_t n = 0; n < bytes; n++)
        packing->bytes[packing->length++] = (unsigned char)(number >> 8 * n);
}

static void pack_text(struct packing *packing, const char *text) {
    memcpy(packing->bytes + packing->length, text, strlen(text));
    packing->length += strlen(text);
}

/* A deletion without a value. */
static void pack(struct packing *packing, const char *key, const char *value) {
    pack_number(packing, strlen(key) | (value == NULL ? FREYJA_PACKED_DELETES : 0), 4);
    pack_number(packing, value == NULL ? 0 : strlen(value), 4);
    pack_text(packing, key);
    pack_text(packing, value == NULL ? "" : value);
}

static void pack_expiring(struct packing *packing, const char *key, const char *value, uint64_t moment) {
    pack_number(packing, strlen(key) | FREYJA_PACKED_EXPIRES, 4);
    pack_number(packing, strlen(value), 4);
    pack_number(packing, moment, 8);
    pack_text(packing, key);
    pack_text(packing, value);
}

static void operations_in_one_buffer_take_place_in_order(freyja_db *db) {
    struct packing packing = {{0}, 0};
    CHECK_OK(put_text(db, "packed old", "0"));
    pack(&packing, "packed a", "1");
    pack(&packing, "packed b", "1");
    pack(&packing, "packed a", NULL);
    pack(&packing, "packed old", NULL);
    pack(&packing, "packed a", "2");
    pack_expiring(&packing, "packed gone", "1", 1);
    pack_expiring(&packing, "packed for ever", "1", 0);
    pack_expiring(&packing, "packed for long", "1", UINT64_MAX);
    uint64_t sequence = stats_of(db).last_sequence;
    CHECK_OK(freyja_write_packed(db, packing.bytes, packing.length));
    CHECK(stats_of(db).last_sequence == sequence + 8);
    CHECK(stats_of(db).durable_sequence == sequence + 8);
    check_text(db, "packed a", "2");
    check_text(db, "packed b", "1");
    check_text(db, "packed for ever", "1");
    check_text(db, "packed for long", "1");
    check_missing(db, "packed old", 10);
    check_missing(db, "packed gone", 11);
}

static void a_buffer_of_which_one_operation_is_wrong_is_refused_whole(freyja_db *db) {
    struct packing packing = {{0}, 0};
    uint64_t sequence = stats_of(db).last_sequence;
    pack(&packing, "never", "written");
    size_t whole = packing.length;
    pack(&packing, "second", "value");
    for (size_t length = 1; length < packing.length; length++)
        if (length != whole)
            CHECK_STATUS(freyja_write_packed(db, packing.bytes, length), FREYJA_INVALID);
    packing.length = whole;
    pack_number(&packing, FREYJA_PACKED_DELETES | 1, 4);
    pack_number(&packing, 1, 4);
    pack_text(&packing, "kv");
    CHECK_STATUS(freyja_write_packed(db, packing.bytes, packing.length), FREYJA_INVALID);
    CHECK_STATUS(freyja_write_packed(db, NULL, 8), FREYJA_INVALID);
    CHECK_STATUS(freyja_write_packed(NULL, packing.bytes, whole), FREYJA_INVALID);
    CHECK_OK(freyja_write_packed(db, NULL, 0));
    CHECK(stats_of(db).last_sequence == sequence);
    check_missing(db, "never", 5);
}

static void a_read_only_store_refuses_batches(const char *path) {
    freyja_options options = default_options();
    options.flags = FREYJA_READ_ONLY_STORE;
    freyja_db *db = open_store(path, &options);
    freyja_batch *batch = new_batch();
    add(batch, "a", "1");
    CHECK_STATUS(freyja_write(db, batch), FREYJA_READ_ONLY);
    struct packing packing = {{0}, 0};
    pack(&packing, "a", "1");
    CHECK_STATUS(freyja_write_packed(db, packing.bytes, packing.length), FREYJA_READ_ONLY);
    CHECK_OK(freyja_batch_free(batch));
    CHECK_OK(freyja_close(db));
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const char *path = path_in(argv[1], "store");
    freyja_db *db = open_store(path, NULL);
    operations_take_place_in_order(db);
    what_is_passed_in_may_be_changed_at_once(db);
    an_empty_batch_writes_nothing(db);
    a_batch_is_written_again_and_to_another_store(db, argv[1]);
    savepoints_nest(db);
    a_limit_is_exact(db);
    without_memory_a_batch_keeps_what_it_has(db);
    what_batches_take_is_told(db);
    operations_in_one_buffer_take_place_in_order(db);
    a_buffer_of_which_one_operation_is_wrong_is_refused_whole(db);
    CHECK_OK(freyja_close(db));
    db = open_store(path, NULL);
    check_text(db, "a", "2");
    check_text(db, "packed a", "2");
    check_missing(db, "old", 3);
    CHECK_OK(freyja_close(db));
    a_batch_larger_than_a_segment_is_written_too(argv[1]);
    a_read_only_store_refuses_batches(path);
    return 0;
}
