/* A strict reader of JSON text (RFC 8259) that moves over the text once and keeps nothing. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *start;
    const char *next; /* the text must end in a NUL byte at `end` */
    const char *end;
    const char *fault; /* NULL, or what is wrong at `next` */
} JsonReader;

JsonReader json_reader(const char *text, size_t length);

/* The first character of the next value or punctuation, white space skipped; 0 at the end. */
char json_peek(JsonReader *reader);

/* Moves over one punctuation character; false, and no move, when something else comes. */
bool json_accept(JsonReader *reader, char expected);

/* The same, and a fault when something else comes. */
bool json_expect(JsonReader *reader, char expected);

/* Reads a string into `text` (NUL-terminated UTF-8). One that does not fit is read over and left empty. */
bool json_string(JsonReader *reader, char *text, size_t capacity);

bool json_number(JsonReader *reader, double *number);

/* Moves over null, true or false; false, and no move, when something else comes. */
bool json_word(JsonReader *reader, const char *word);

/* Moves over any value. */
bool json_skip(JsonReader *reader);

/* True when nothing but white space is left. */
bool json_at_end(JsonReader *reader);

#endif
