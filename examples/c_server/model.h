/* A linear model: a table of weights, and the answer to one prediction request. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>

enum { MAX_COLUMNS = 32, NAME_BYTES = 64, MESSAGE_BYTES = 256, MAX_ROWS = 2000000 };

typedef struct {
    char name[NAME_BYTES];
    double weight;
    double typical; /* stands in where a value is null */
} Column;

typedef struct {
    double intercept;
    size_t column_count;
    Column columns[MAX_COLUMNS];
} Model;

typedef struct {
    int status;  /* of HTTP */
    char *body;  /* JSON, to be freed by the caller; NULL when memory is short */
    size_t length;
} Answer;

/* Reads lines `name,weight,typical` after a header line. On failure `message` says what is wrong. */
bool model_load(Model *model, const char *path, char message[MESSAGE_BYTES]);

/* Answers {"X": {column: [numbers]}} with {"predictions": [numbers]}, or with {"message": ...} and a 4xx status.
   `request` holds `length` bytes and a NUL byte after them. */
Answer model_answer(const Model *model, const char *request, size_t length);

/* An answer {"message": ...}; the message must need no escaping in JSON. */
Answer message_answer(int status, const char *message);

#endif
