#ifndef SPADINA_RUNTIME_H
#define SPADINA_RUNTIME_H
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define SPADINA_STATIC static __attribute__((unused))
#else
#define SPADINA_STATIC static
#endif
#ifndef SPADINA_MALLOC
#define SPADINA_MALLOC(bytes) malloc(bytes)
#define SPADINA_FREE(memory) free(memory)
#endif
#ifdef __cplusplus
extern "C" {
#endif

/* What a call returns. */
enum {
    SPADINA_OK = 0,
    SPADINA_BAD_SUBSCRIPT = 1, /* plan->error tells where */
    SPADINA_NO_MEMORY = 2,
    SPADINA_TOO_LARGE = 3,     /* more than 2^32 - 2 entries, or rows too long for the slot width */
    SPADINA_BAD_SIZE = 4,      /* a negative size, or an array whose length overflows */
    SPADINA_BAD_ENTRY = 5,     /* an entry of an index or offsets array; plan->error tells which */
    SPADINA_NULL = 6           /* an array is missing */
};

/* A subscript that was refused: number of the buffer, axis, subscript, length of the axis, span in the source. */
typedef struct spadina_error {
    int64_t buffer, axis, index, bound, span_start, span_end;
} spadina_error;

/* One entry of a local block: which positions of the stream name its row and column, and what is added to them. */
typedef struct spadina_entry {
    uint32_t row_base, row_delta, col_base, col_delta;
} spadina_entry;

/* An emission site. */
typedef struct spadina_site {
    int32_t number;
    int32_t stream_width;
    int64_t per_iteration; /* negative where it varies */
    int64_t entries;
    const spadina_entry *entry;
} spadina_site;

/* A phase: functions, sites (those of the matrix first) and the scalar outputs it adds to. */
typedef struct spadina_phase {
    void (*eval)(const uint64_t *env, int64_t begin, int64_t end, double *sums);
    int64_t (*count)(const uint64_t *env, int64_t begin, int64_t end, uint32_t *counts);
    int64_t (*index)(const uint64_t *env, int64_t begin, int64_t end);
    int32_t index_phase; /* its number in the index program, or -1 */
    int32_t matrix_sites, sites;
    const spadina_site *site;
    int32_t sums;
    const int32_t *sum;
} spadina_phase;

/* A compiled program. */
typedef struct spadina_program {
    int64_t (*trips)(const uint64_t *env, int64_t *out);
    int64_t (*index_trips)(const uint64_t *env, int64_t *out);
    int32_t eval_phases, index_phases;
    int32_t phases; /* those of evaluation first */
    const spadina_phase *phase;
    int32_t sites;
    int32_t slot_bytes;
    int32_t drops;
} spadina_program;

/* The pattern (rows of columns, ascending, as in CSR) and where each emission goes. */
typedef struct spadina_plan {
    int64_t rows, cols, nnz;
    uint32_t *row_ptr;
    uint32_t *col_idx;
    int64_t *trips;
    void **slots;
    uint32_t **first;
    void **scratch;
    int32_t sites, scratches;
    spadina_error error;
} spadina_plan;

/* Outer iterations per partial sum. */
#define SPADINA_SUM_BLOCK 1024

SPADINA_STATIC void *spadina_zeros(size_t count, size_t bytes) {
    void *memory;
    if (bytes != 0 && count > ((size_t)-1 - 8) / bytes) return NULL;
    memory = SPADINA_MALLOC(count * bytes + 8);
    if (memory) memset(memory, 0, count * bytes + 8);
    return memory;
}

/* The number of elements of an array; -1 where that makes no sense. */
SPADINA_STATIC int64_t spadina_product(const int64_t *dims, int rank) {
    int64_t product = 1;
    int k;
    for (k = 0; k < rank; k++) {
        if (dims[k] < 0) return -1;
        if (dims[k] > 0 && product > (INT64_C(1) << 48) / dims[k]) return -1;
        product *= dims[k];
    }
    return product;
}

SPADINA_STATIC void spadina_plan_free(spadina_plan *plan) {
    int32_t k;
    for (k = 0; plan->slots && k < plan->sites; k++) SPADINA_FREE(plan->slots[k]);
    for (k = 0; plan->first && k < plan->sites; k++) SPADINA_FREE(plan->first[k]);
    for (k = 0; plan->scratch && k < plan->scratches; k++) SPADINA_FREE(plan->scratch[k]);
    SPADINA_FREE(plan->slots);
    SPADINA_FREE(plan->first);
    SPADINA_FREE(plan->scratch);
    SPADINA_FREE(plan->trips);
    SPADINA_FREE(plan->row_ptr);
    SPADINA_FREE(plan->col_idx);
    memset(plan, 0, sizeof *plan);
}

/* Checks that every entry of an index array lies in range; bounds repeat along the last axis. */
SPADINA_STATIC int spadina_check_index(const int64_t *entry, int64_t count, const int64_t *bounds, int64_t width,
                                       int64_t buffer, spadina_error *error) {
    int64_t k;
    for (k = 0; k < count; k++) {
        int64_t bound = bounds[k % width];
        if (entry[k] < 0 || entry[k] >= bound) {
            spadina_error found = {0, 0, 0, 0, 0, 0};
            found.buffer = buffer, found.index = entry[k], found.bound = bound, found.axis = k;
            *error = found;
            return SPADINA_BAD_ENTRY;
        }
    }
    return SPADINA_OK;
}

/* Checks that offsets never decrease and stay in 0..=most. */
SPADINA_STATIC int spadina_check_offsets(const int64_t *entry, int64_t count, int64_t most, int64_t buffer,
                                         spadina_error *error) {
    int64_t k, least = 0;
    for (k = 0; k < count; k++) {
        if (entry[k] < least || entry[k] > most) {
            spadina_error found = {0, 0, 0, 0, 0, 0};
            found.buffer = buffer, found.index = entry[k], found.bound = most, found.axis = k;
            *error = found;
            return SPADINA_BAD_ENTRY;
        }
        least = entry[k];
    }
    return SPADINA_OK;
}

SPADINA_STATIC int64_t spadina_emissions(const spadina_plan *plan, const spadina_site *site, int64_t trip) {
    return site->per_iteration < 0 ? (int64_t)plan->first[site->number][trip] : site->per_iteration * trip;
}

/* Runs the index program: counts, then streams. `words` is the environment, `site_word` the word of its first site. */
SPADINA_STATIC int spadina_index(const spadina_program *p, uint64_t *words, int32_t site_word, spadina_plan *plan,
                                 uint32_t **stream) {
    int32_t n, s;
    for (n = 0; n < p->phases; n++) {
        const spadina_phase *phase = &p->phase[n];
        int64_t trip = plan->trips[n], i;
        uint32_t *counts = NULL;
        if (trip < 0 || trip >= (INT64_C(1) << 31)) return SPADINA_TOO_LARGE;
        if (phase->count) {
            counts = (uint32_t *)spadina_zeros((size_t)trip * (size_t)phase->sites, sizeof *counts);
            if (!counts) return SPADINA_NO_MEMORY;
            if (phase->count(words, 0, trip, counts)) {
                SPADINA_FREE(counts);
                return SPADINA_BAD_SUBSCRIPT;
            }
        }
        for (s = 0; s < phase->sites; s++) {
            const spadina_site *site = &phase->site[s];
            int64_t total;
            if (site->per_iteration < 0) {
                uint64_t sum = 0;
                uint32_t *first = (uint32_t *)spadina_zeros((size_t)trip + 1, sizeof *first);
                plan->first[site->number] = first;
                for (i = 0; first && i < trip; i++) {
                    sum += counts[s * trip + i];
                    if (sum > UINT32_MAX) break;
                    first[i + 1] = (uint32_t)sum;
                }
                if (!first || i < trip) {
                    SPADINA_FREE(counts);
                    return first ? SPADINA_TOO_LARGE : SPADINA_NO_MEMORY;
                }
                words[site_word + 2 * site->number + 1] = (uint64_t)(uintptr_t)first;
            }
            total = spadina_emissions(plan, site, trip);
            stream[site->number] = (uint32_t *)spadina_zeros((size_t)total * (size_t)site->stream_width, sizeof(uint32_t));
            if (!stream[site->number]) {
                SPADINA_FREE(counts);
                return SPADINA_NO_MEMORY;
            }
            words[site_word + 2 * site->number] = (uint64_t)(uintptr_t)stream[site->number];
        }
        SPADINA_FREE(counts);
        if (phase->index && phase->index(words, 0, trip)) return SPADINA_BAD_SUBSCRIPT;
    }
    return SPADINA_OK;
}

/* One entry of one emission: its column, and the place of its offset. */
typedef struct spadina_item {
    uint32_t col, site;
    uint64_t place;
} spadina_item;

SPADINA_STATIC void spadina_sort_columns(uint32_t *list, int64_t count) {
    int64_t gap, i, j;
    for (gap = 1; gap < count / 9; gap = 3 * gap + 1) {
    }
    for (; gap > 0; gap /= 3) {
        for (i = gap; i < count; i++) {
            uint32_t value = list[i];
            for (j = i; j >= gap && list[j - gap] > value; j -= gap) list[j] = list[j - gap];
            list[j] = value;
        }
    }
}

SPADINA_STATIC void spadina_put_slot(void *slots, uint64_t place, int32_t bytes, uint32_t offset) {
    if (bytes == 1) ((uint8_t *)slots)[place] = (uint8_t)offset;
    else if (bytes == 2) ((uint16_t *)slots)[place] = (uint16_t)offset;
    else ((uint32_t *)slots)[place] = offset;
}

/* Calls for every kept entry of every emission, in order: pass 0 counts rows, pass 1 puts items into their rows. */
SPADINA_STATIC int spadina_entries(const spadina_program *p, const spadina_plan *plan, uint32_t **stream, int lower,
                                   uint64_t *row_first, spadina_item *items) {
    int32_t n, s;
    for (n = 0; n < p->phases; n++) {
        for (s = 0; s < p->phase[n].matrix_sites; s++) {
            const spadina_site *site = &p->phase[n].site[s];
            int64_t total = spadina_emissions(plan, site, plan->trips[n]), e, k;
            for (e = 0; e < total; e++) {
                const uint32_t *base = stream[site->number] + e * site->stream_width;
                for (k = 0; k < site->entries; k++) {
                    const spadina_entry *entry = &site->entry[k];
                    uint32_t row = base[entry->row_base] + entry->row_delta;
                    uint32_t col = base[entry->col_base] + entry->col_delta;
                    if (row >= plan->rows || col >= plan->cols) return SPADINA_BAD_SUBSCRIPT;
                    if (lower && col > row) continue;
                    if (items) {
                        spadina_item *item = &items[row_first[row]++];
                        item->col = col;
                        item->site = (uint32_t)site->number;
                        item->place = (uint64_t)e * (uint64_t)site->entries + (uint64_t)k;
                    } else {
                        row_first[row + 1]++;
                    }
                }
            }
        }
    }
    return SPADINA_OK;
}

/* From streams to the pattern and the slot records: items sorted by row by counting, distinct columns of each row. */
SPADINA_STATIC int spadina_pattern(const spadina_program *p, spadina_plan *plan, uint32_t **stream, int lower) {
    int64_t row, k, total = 0, capacity, nnz = 0;
    int32_t n, s, status = SPADINA_NO_MEMORY;
    int64_t longest = p->slot_bytes == 1 ? 255 : p->slot_bytes == 2 ? 65535 : INT64_C(0xffffffff);
    uint64_t *first = (uint64_t *)spadina_zeros((size_t)plan->rows + 2, sizeof *first);
    uint32_t *offset = (uint32_t *)spadina_zeros((size_t)plan->cols, sizeof *offset);
    uint64_t *stamp = (uint64_t *)spadina_zeros((size_t)plan->cols, sizeof *stamp);
    spadina_item *items = NULL;
    plan->row_ptr = (uint32_t *)spadina_zeros((size_t)plan->rows + 1, sizeof(uint32_t));
    if (!first || !offset || !stamp || !plan->row_ptr) goto done;
    if ((status = spadina_entries(p, plan, stream, lower, first, NULL)) != SPADINA_OK) goto done;
    for (row = 0; row < plan->rows; row++) first[row + 1] += first[row];
    total = (int64_t)first[plan->rows];
    capacity = total;
    status = SPADINA_NO_MEMORY;
    items = (spadina_item *)spadina_zeros((size_t)total, sizeof *items);
    plan->col_idx = (uint32_t *)spadina_zeros((size_t)capacity, sizeof(uint32_t));
    if (!items || !plan->col_idx) goto done;
    for (n = 0; n < p->phases; n++) {
        for (s = 0; s < p->phase[n].matrix_sites; s++) {
            const spadina_site *site = &p->phase[n].site[s];
            size_t records = (size_t)spadina_emissions(plan, site, plan->trips[n]) * (size_t)site->entries;
            void *slots = spadina_zeros(records, (size_t)p->slot_bytes);
            if (!slots) goto done;
            if (p->drops) memset(slots, 0xff, records * (size_t)p->slot_bytes);
            plan->slots[site->number] = slots;
        }
    }
    if ((status = spadina_entries(p, plan, stream, lower, first, items)) != SPADINA_OK) goto done;
    /* Filling moved every start to the end of its row. */
    for (row = 0; row < plan->rows; row++) {
        int64_t begin = row == 0 ? 0 : (int64_t)first[row - 1], end = (int64_t)first[row], length = 0;
        uint32_t *list = plan->col_idx + nnz;
        for (k = begin; k < end; k++) {
            uint32_t col = items[k].col;
            if (stamp[col] != (uint64_t)row + 1) {
                stamp[col] = (uint64_t)row + 1;
                list[length++] = col;
            }
        }
        if (length > longest || nnz + length >= INT64_C(0xffffffff)) {
            status = SPADINA_TOO_LARGE;
            goto done;
        }
        spadina_sort_columns(list, length);
        for (k = 0; k < length; k++) offset[list[k]] = (uint32_t)k;
        for (k = begin; k < end; k++) {
            spadina_put_slot(plan->slots[items[k].site], items[k].place, p->slot_bytes, offset[items[k].col]);
        }
        nnz += length;
        plan->row_ptr[row + 1] = (uint32_t)nnz;
    }
    plan->nnz = nnz;
    status = SPADINA_OK;
done:
    SPADINA_FREE(first);
    SPADINA_FREE(offset);
    SPADINA_FREE(stamp);
    SPADINA_FREE(items);
    return status;
}

/* Iterations of every phase: from the index program, which checks what they depend on, or from evaluation. */
SPADINA_STATIC int spadina_trips(const spadina_program *p, const uint64_t *words, spadina_plan *plan) {
    int32_t n, status = SPADINA_OK;
    int64_t *index = (int64_t *)spadina_zeros((size_t)p->index_phases, sizeof *index);
    int64_t *eval = (int64_t *)spadina_zeros((size_t)p->eval_phases, sizeof *eval);
    if (!index || !eval) status = SPADINA_NO_MEMORY;
    else if (p->index_trips && p->index_trips(words, index)) status = SPADINA_BAD_SUBSCRIPT;
    else p->trips(words, eval);
    for (n = 0; status == SPADINA_OK && n < p->phases; n++) {
        int32_t k = p->phase[n].index_phase;
        plan->trips[n] = k >= 0 ? index[k] : eval[n];
    }
    SPADINA_FREE(index);
    SPADINA_FREE(eval);
    return status;
}

/* Prepares: counts, streams, pattern, slots. The environment is that of the index program. */
SPADINA_STATIC int spadina_prepare(const spadina_program *p, uint64_t *words, int32_t site_word, int64_t rows,
                                   int64_t cols, int lower, spadina_plan *plan) {
    int32_t k, status;
    uint32_t **stream;
    if (rows < 0 || cols < 0 || rows >= INT64_C(0xffffffff) || cols >= INT64_C(0xffffffff)) return SPADINA_TOO_LARGE;
    plan->rows = rows;
    plan->cols = cols;
    plan->sites = p->sites;
    plan->trips = (int64_t *)spadina_zeros((size_t)p->phases, sizeof(int64_t));
    plan->slots = (void **)spadina_zeros((size_t)p->sites, sizeof(void *));
    plan->first = (uint32_t **)spadina_zeros((size_t)p->sites, sizeof(uint32_t *));
    stream = (uint32_t **)spadina_zeros((size_t)p->sites, sizeof(uint32_t *));
    if (!plan->trips || !plan->slots || !plan->first || !stream) {
        SPADINA_FREE(stream);
        return SPADINA_NO_MEMORY;
    }
    status = spadina_trips(p, words, plan);
    if (status == SPADINA_OK) status = spadina_index(p, words, site_word, plan, stream);
    if (status == SPADINA_OK) status = spadina_pattern(p, plan, stream, lower && p->drops);
    for (k = 0; k < p->sites; k++) SPADINA_FREE(stream[k]);
    SPADINA_FREE(stream);
    return status;
}

/* Evaluates all phases; adds the sums of scalar outputs, in blocks of fixed length, to `totals`. */
SPADINA_STATIC void spadina_eval(const spadina_program *p, uint64_t *words, int32_t site_word, const spadina_plan *plan,
                                 double *part, double *totals) {
    int32_t n, k;
    for (k = 0; k < plan->sites; k++) {
        words[site_word + 2 * k] = (uint64_t)(uintptr_t)plan->slots[k];
        words[site_word + 2 * k + 1] = (uint64_t)(uintptr_t)plan->first[k];
    }
    for (n = 0; n < p->eval_phases; n++) {
        const spadina_phase *phase = &p->phase[n];
        int64_t begin;
        for (begin = 0; begin < plan->trips[n]; begin += SPADINA_SUM_BLOCK) {
            int64_t end = begin + SPADINA_SUM_BLOCK;
            if (end > plan->trips[n]) end = plan->trips[n];
            phase->eval(words, begin, end, part);
            for (k = 0; k < phase->sums; k++) totals[phase->sum[k]] += part[k];
        }
    }
}

#ifdef __cplusplus
}
#endif
#endif
