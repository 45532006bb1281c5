#include <freyja.h>
#include <stdio.h>

int main(void)
{
    freyja_db *db;
    freyja_error error;
    if (freyja_open("hello.store", NULL, &db, &error) != FREYJA_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    void *value;
    size_t length;
    int status = freyja_put(db, "greeting", 8, "hello, world", 12); /* durable when it returns */
    if (status == FREYJA_OK)
        status = freyja_get(db, "greeting", 8, &value, &length);
    if (status == FREYJA_OK) {
        printf("%.*s\n", (int)length, (const char *)value);
        freyja_free_buf(value);
    }
    int closed = freyja_close(db);
    if (status == FREYJA_OK)
        status = closed;
    if (status != FREYJA_OK)
        fprintf(stderr, "%s\n", freyja_strerror(status));
    return status == FREYJA_OK ? 0 : 1;
}
