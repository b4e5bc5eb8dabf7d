/* streams.native._unpack: the records of Kafka batches into columns, with the interpreter's lock released. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "records.h"

/* Takes one batch from (bytes, start, end, records, base, high, time, fixed). Only of bytes, which nobody changes while
   they are walked twice without the lock. */
static int take_part(PyObject *given, Part *part) {
    PyObject *bytes;
    Py_ssize_t start, end;
    long long records, base, high, time;
    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "a batch is a tuple");
        return 0;
    }
    if (!PyArg_ParseTuple(given, "SnnLLLLp", &bytes, &start, &end, &records, &base, &high, &time, &part->fixed)) return 0;
    if (start < 0 || end < start || end > PyBytes_Size(bytes) || base < 0 || high < base) {
        PyErr_SetString(PyExc_ValueError, "a batch lies inside its bytes, and its offsets from 0 on");
        return 0;
    }
    const uint8_t *from = (const uint8_t *)PyBytes_AsString(bytes);
    part->at = from + start;
    part->end = from + end;
    part->records = records;
    part->base = base;
    part->high = high;
    part->time = time;
    return 1;
}

/* A new bytes object, and where its contents are to be written; the bytes are zeroed where they are not all written. */
static PyObject *room(int64_t size, int zeroed, void *where) {
    PyObject *made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (made) {
        char *contents = PyBytes_AsString(made);
        if (zeroed) memset(contents, 0, (size_t)size);
        *(char **)where = contents;
    }
    return made;
}

static PyObject *bitmap(int64_t records, int64_t missing, uint8_t **where) {
    *where = NULL;
    if (missing) return room((records + 7) / 8, 1, where);
    Py_INCREF(Py_None);
    return Py_None;
}

static PyObject *columns_of(const Part *parts, int64_t count, int64_t low, const Size *size) {
    Columns columns;
    int64_t rows = size->records;
    PyObject *made[8] = {
        room(rows * 8, 0, &columns.offsets),
        room(rows * 8, 0, &columns.times),
        bitmap(rows, size->without_key, &columns.key_valid),
        room((rows + 1) * 4, 0, &columns.key_ends),
        room(size->key_bytes, 0, &columns.keys),
        bitmap(rows, size->without_value, &columns.value_valid),
        room((rows + 1) * 4, 0, &columns.value_ends),
        room(size->value_bytes, 0, &columns.values),
    };
    PyObject *result = NULL;
    int whole = 1;
    for (int i = 0; i < 8; i++) whole = whole && made[i] != NULL;
    if (whole) {
        Py_BEGIN_ALLOW_THREADS
        fill(parts, count, low, &columns);
        Py_END_ALLOW_THREADS
        result = Py_BuildValue("(L(OO)(OOO)(OOO))", (long long)rows, made[0], made[1], made[2], made[3], made[4],
                               made[5], made[6], made[7]);
    }
    for (int i = 0; i < 8; i++) Py_XDECREF(made[i]);
    return result;
}

static PyObject *unpack(PyObject *module, PyObject *arguments) {
    PyObject *given, *result = NULL;
    long long low;
    Size size;
    int fits;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!L:unpack", &PyTuple_Type, &given, &low)) return NULL;
    Py_ssize_t count = PyTuple_Size(given);
    Part *parts = PyMem_Malloc((size_t)(count ? count : 1) * sizeof(Part));
    if (!parts) return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!take_part(PyTuple_GetItem(given, i), &parts[i])) goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    fits = measure(parts, count, low, &size);
    Py_END_ALLOW_THREADS
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "the bytes are no records");
    } else if (size.key_bytes > INT32_MAX || size.value_bytes > INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "more than 2 GiB of keys or values");
    } else {
        result = columns_of(parts, count, low, &size);
    }
done:
    PyMem_Free(parts);
    return result;
}

static PyMethodDef methods[] = {
    {"unpack", unpack, METH_VARARGS,
     "unpack(batches, low) -> (records, (offsets, times), (key validity, ends, bytes), (value validity, ends, bytes))\n\n"
     "batches: a tuple of (bytes, start, end, records, base, high, time, fixed) each.  low: records below it are left.\n"
     "Raises ValueError where the bytes are no records, OverflowError for more than 2 GiB of keys or values."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_unpack", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__unpack(void) { return PyModuleDef_Init(&definition); }
