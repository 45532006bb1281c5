/* A store's life from open to close, with books about what it must hold afterwards. Runs while calls fail. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include "interpose.h"

#include <dirent.h>

enum { KEYS = 24, MANY = 900, LONGEST = 40000, MISSING = -1 };

/* The versions that a key may have, MISSING for none: one, unless calls have failed. */
struct book {
    int count, versions[8];
};

static struct book books[KEYS];
static struct book many[MANY];
/* Writing was refused; whatever was said of the last writing call. */
static int stopped;
/* Whether a status is a proper answer while a call fails. */
static int (*is_proper)(int status);
/* Whether what failed with this status certainly did not happen. */
static int (*did_not_happen)(int status);

#define FAULTY "fault %ld, sticky %d, error %d, effect %d"
#define FAULT_VALUES fault.at, fault.sticky, fault.error, fault.effect

/* The status of a call, which is right: an error only if a call has failed. */
#define PROPER(call) proper((call), #call, __LINE__)

static freyja_db *opened;

static int proper(int status, const char *call, int line) {
    if (status != FREYJA_OK && !(fault.hits > 0 && is_proper(status))) {
        disarm();
        freyja_error failure;
        if (freyja_failure(opened, &failure) == FREYJA_OK)
            fprintf(stderr, "%s\n", failure.message);
        fprintf(stderr, "line %d: %s answered %d (%s), " FAULTY "\n", line, call, status, freyja_strerror(status), FAULT_VALUES);
        _exit(1);
    }
    return status;
}

#define HOLDS(condition)                                                                      \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            disarm();                                                                         \
            fprintf(stderr, "%s:%d: does not hold: %s, " FAULTY "\n", __FILE__, __LINE__,     \
                    #condition, FAULT_VALUES);                                                \
            _exit(1);                                                                         \
        }                                                                                     \
    } while (0)

static size_t key_of(char *key, int number) {
    return (size_t)sprintf(key, "key %d", number);
}

static unsigned char value_bytes[LONGEST];

/* A value that tells its version; some are long. */
static size_t value_of(int number, int version) {
    size_t length = number == 3 ? LONGEST : number % 5 == 4 ? 1500 : (size_t)(number % 7) * 20 + 4;
    memset(value_bytes, number + version, length);
    memcpy(value_bytes, &version, 4);
    return length;
}

static void set(struct book *book, int version) {
    book->count = 1;
    book->versions[0] = version;
}

static int may_be(const struct book *book, int version) {
    for (int number = 0; number < book->count; number++)
        if (book->versions[number] == version)
            return 1;
    return 0;
}

static void note(struct book *book, int status, int version) {
    if (status == FREYJA_OK) {
        HOLDS(!stopped);
        set(book, version);
    } else if (status == FREYJA_FAILED && stopped) {
        /* Refused. */
    } else if (!did_not_happen(status)) {
        CHECK(book->count < 8);
        book->versions[book->count++] = version;
    }
    /* The first who hears of it may have been under way when it happened. */
    stopped |= status == FREYJA_FAILED;
}

static void put(freyja_db *db, int number, int version) {
    char key[32];
    size_t key_len = key_of(key, number), length = value_of(number, version);
    note(&books[number], PROPER(freyja_put(db, key, key_len, value_bytes, length)), version);
}

static void delete(freyja_db *db, int number) {
    char key[32];
    size_t key_len = key_of(key, number);
    int status = freyja_delete(db, key, key_len);
    if (status == FREYJA_NOT_FOUND) {
        HOLDS(may_be(&books[number], MISSING));
        return;
    }
    note(&books[number], PROPER(status), MISSING);
}

static void check_got(const struct book *book, int number, int status, const void *value, size_t length) {
    if (status == FREYJA_NOT_FOUND) {
        HOLDS(may_be(book, MISSING));
        return;
    }
    if (PROPER(status) != FREYJA_OK)
        return;
    int version;
    HOLDS(length >= 4);
    memcpy(&version, value, 4);
    if (!may_be(book, version)) {
        fprintf(stderr, "key %d has version %d;", number, version);
        for (int at = 0; at < book->count; at++)
            fprintf(stderr, " %d was possible;", book->versions[at]);
        fprintf(stderr, " kind %d\n", fault.kind);
    }
    HOLDS(may_be(book, version));
    HOLDS(length == value_of(number, version));
    HOLDS(memcmp(value, value_bytes, length) == 0);
}

static void get(freyja_db *db, int number) {
    static char buffer[LONGEST];
    char key[32];
    size_t key_len = key_of(key, number), length = 0;
    void *value = NULL;
    int status = freyja_get(db, key, key_len, &value, &length);
    check_got(&books[number], number, status, value, length);
    if (status == FREYJA_OK)
        freyja_free_buf(value);
    status = freyja_get_into(db, key, key_len, buffer, sizeof buffer, &length);
    check_got(&books[number], number, status, buffer, length);
}

static void get_all_at_once(freyja_db *db) {
    char keys[KEYS * 16];
    size_t ends[KEYS], value_ends[KEYS], end = 0;
    int states[KEYS];
    void *values = NULL;
    for (int number = 0; number < KEYS; number++) {
        end += key_of(keys + end, number);
        ends[number] = end;
    }
    if (PROPER(freyja_get_many(db, keys, ends, KEYS, &values, value_ends, states)) != FREYJA_OK)
        return;
    size_t begin = 0;
    for (int number = 0; number < KEYS; number++) {
        check_got(&books[number], number, states[number], (char *)values + begin, value_ends[number] - begin);
        begin = value_ends[number];
    }
    freyja_free_buf(values);
}

/* Two puts and a deletion, together. */
static void write_batch(freyja_db *db, int first, int version) {
    freyja_batch *batch;
    char key[32];
    uint64_t savepoint;
    if (PROPER(freyja_batch_new(&batch)) != FREYJA_OK)
        return;
    int status = FREYJA_OK;
    for (int number = first; number < first + 2 && status == FREYJA_OK; number++) {
        size_t key_len = key_of(key, number), length = value_of(number, version);
        status = PROPER(freyja_batch_put(batch, key, key_len, value_bytes, length));
    }
    if (status == FREYJA_OK && PROPER(freyja_batch_savepoint(batch, &savepoint)) == FREYJA_OK) {
        if (PROPER(freyja_batch_put(batch, "never", 5, "there", 5)) == FREYJA_OK)
            CHECK_OK(freyja_batch_rollback_to(batch, savepoint));
        size_t key_len = key_of(key, first + 2);
        status = PROPER(freyja_batch_delete(batch, key, key_len));
        if (status == FREYJA_OK) {
            status = PROPER(freyja_write(db, batch));
            int was_stopped = stopped;
            for (int number = first; number < first + 3; number++) {
                stopped = was_stopped;
                note(&books[number], status, number == first + 2 ? MISSING : version);
            }
        }
    }
    CHECK_OK(freyja_batch_free(batch));
}

/* So many keys that the index grows. */
static void put_many(freyja_db *db, int version) {
    char key[32];
    for (int number = 0; number < MANY; number++) {
        size_t length = (size_t)sprintf(key, "one of many keys %d", number);
        int status = PROPER(freyja_put(db, key, length, &version, sizeof version));
        note(&many[number], status, version);
    }
}

static void check_many(freyja_db *db) {
    char key[32];
    for (int number = 0; number < MANY; number++) {
        int version;
        size_t key_len = (size_t)sprintf(key, "one of many keys %d", number), length;
        int status = freyja_get_into(db, key, key_len, &version, sizeof version, &length);
        if (status == FREYJA_NOT_FOUND)
            version = MISSING;
        else if (PROPER(status) != FREYJA_OK)
            continue;
        HOLDS(may_be(&many[number], version));
    }
}

/* Everything that a store can do; the calls that fail may be among those of the library at any place. */
static void live(const char *path, const freyja_options *options, int with_many) {
    int kind = fault.kind;
    /* The standard library of Rust has no way to say that there is no memory for a thread's record. */
    if (kind == ALLOCATIONS && options->background_threads > 0)
        disarm();
    freyja_db *db = NULL;
    freyja_error error;
    freyja_stats_t stats;
    uint64_t count;
    stopped = 0;
    if (PROPER(freyja_open(path, options, &db, &error)) != FREYJA_OK) {
        HOLDS(db == NULL);
        return;
    }
    opened = db;
    fault.kind = kind;
    for (int number = 0; number < KEYS; number += 3)
        put(db, number, 100);
    get_all_at_once(db);
    write_batch(db, 4, 101);
    for (int number = 0; number < KEYS; number += 2)
        get(db, number);
    if (with_many)
        put_many(db, 102);
    write_batch(db, 9, 103);
    delete(db, 6);
    put(db, 3, 104);
    put(db, 3, 105);
    int status = PROPER(freyja_sync(db));
    if (status == FREYJA_FAILED)
        stopped = 1;
    PROPER(freyja_count(db, &count));
    PROPER(freyja_stats(db, &stats, sizeof stats));
    HOLDS(freyja_failure(db, &error) == FREYJA_OK || !stopped);
    PROPER(freyja_close(db));
    /* The handle is gone in any case. */
    HOLDS(freyja_close(db) == FREYJA_CLOSED);
}

/* Nothing fails any more: the store opens, holds what it must, and can be written. */
static void check_afterwards(const char *path, const freyja_options *options, int with_many) {
    for (int round = 0; round < 2; round++) {
        stopped = 0;
        fault.hits = 0;
        freyja_error error;
        freyja_db *db = NULL;
        if (freyja_open(path, options, &db, &error) != FREYJA_OK) {
            fprintf(stderr, "cannot be opened again: %s, " FAULTY "\n", error.message, FAULT_VALUES);
            _exit(1);
        }
        HOLDS(freyja_failure(db, &error) == FREYJA_NOT_FOUND);
        get_all_at_once(db);
        for (int number = 0; number < KEYS; number++)
            get(db, number);
        if (with_many)
            check_many(db);
        put(db, 0, 200 + round);
        CHECK_OK(freyja_close(db));
    }
}

static void remove_files(const char *path) {
    DIR *directory = opendir(path);
    if (directory == NULL)
        return;
    char name[4500];
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            CHECK(unlink(name) == 0);
    }
    closedir(directory);
    CHECK(rmdir(path) == 0);
}

static void copy_files(const char *from, const char *to) {
    static char bytes[1 << 16];
    char name[4500], copy[4500];
    CHECK(mkdir(to, 0777) == 0);
    DIR *directory = opendir(from);
    CHECK(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", from, entry->d_name);
        snprintf(copy, sizeof copy, "%s/%s", to, entry->d_name);
        int source = open(name, O_RDONLY), target = open(copy, O_WRONLY | O_CREAT | O_EXCL, 0666);
        CHECK(source >= 0 && target >= 0);
        for (ssize_t length; (length = read(source, bytes, sizeof bytes)) > 0;)
            CHECK(write(target, bytes, (size_t)length) == length);
        close(source);
        close(target);
    }
    closedir(directory);
}

/* The state of the books when the store of `before` was copied. */
static struct book books_before[KEYS];

/* Makes a store in `path`.killed as a killed process leaves it, and in `path`.closed a closed one. */
static void make_stores(const char *path, const freyja_options *options, char *killed, char *closed) {
    sprintf(killed, "%s.killed", path);
    sprintf(closed, "%s.closed", path);
    for (int number = 0; number < KEYS; number++)
        set(&books[number], MISSING);
    /* No thread of its own, which would remove files while they are copied. */
    freyja_options alone = *options;
    alone.background_threads = 0;
    freyja_db *db = open_store(closed, &alone);
    for (int number = 0; number < KEYS - 4; number++)
        put(db, number, 1);
    put(db, 3, 2);
    delete(db, 5);
    copy_files(closed, killed);
    CHECK_OK(freyja_close(db));
    memcpy(books_before, books, sizeof books);
}

/* Seconds that one life with a failure may take, on however busy a machine. */
enum { PATIENCE = 120 };

static void name_what_hangs(int signal) {
    (void)signal;
    dprintf(STDERR_FILENO, "hangs with " FAULTY "\n", FAULT_VALUES);
    _exit(1);
}

/* Begins with a new store, or a copy of `before`. From now on the next life has its time. */
static void begin(const char *path, const char *before) {
    signal(SIGALRM, name_what_hangs);
    alarm(PATIENCE);
    for (int number = 0; number < MANY; number++)
        set(&many[number], MISSING);
    remove_files(path);
    if (before != NULL) {
        copy_files(before, path);
        memcpy(books, books_before, sizeof books);
        return;
    }
    for (int number = 0; number < KEYS; number++)
        set(&books[number], MISSING);
}

#endif
