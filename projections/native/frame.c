/* projections.native._frame: records framed for ClickHouse, with the interpreter's lock released. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "framing.h"

/* Points the rows into the buffers given; 0 where they are of different lengths. */
static int take_rows(const Py_buffer *ends, const Py_buffer *bytes, const Py_buffer *offsets, const Py_buffer *place,
                     Rows *rows) {
    rows->count = offsets->len / 8;
    rows->ends = ends->buf;
    rows->bytes = bytes->buf;
    rows->bytes_size = bytes->len;
    rows->offsets = offsets->buf;
    rows->place = place->buf;
    rows->place_size = place->len;
    return offsets->len % 8 == 0 && ends->len == (rows->count + 1) * 4;
}

static PyObject *framed(const Rows *rows) {
    int64_t size;
    PyObject *made;
    Py_BEGIN_ALLOW_THREADS
    size = framed_size(rows);
    Py_END_ALLOW_THREADS
    if (size < 0) {
        PyErr_SetString(PyExc_ValueError, "the values do not lie in their bytes, in order");
        return NULL;
    }
    made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (made) {
        uint8_t *contents = (uint8_t *)PyBytes_AsString(made);
        Py_BEGIN_ALLOW_THREADS
        frame_rows(rows, contents);
        Py_END_ALLOW_THREADS
    }
    return made;
}

static PyObject *frame(PyObject *module, PyObject *arguments) {
    Py_buffer ends, bytes, offsets, place;
    PyObject *result = NULL;
    Rows rows;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*:frame", &ends, &bytes, &offsets, &place)) return NULL;
    if (take_rows(&ends, &bytes, &offsets, &place, &rows)) {
        result = framed(&rows);
    } else {
        PyErr_SetString(PyExc_ValueError, "each value has an offset, and the ends are one more");
    }
    PyBuffer_Release(&ends);
    PyBuffer_Release(&bytes);
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&place);
    return result;
}

static PyMethodDef methods[] = {
    {"frame", frame, METH_VARARGS,
     "frame(ends, bytes, offsets, place) -> bytes\n\n"
     "ends: int32, of shape (n + 1,), where each value ends in `bytes`.  offsets: int64, of shape (n,).  place: what is\n"
     "appended to each value, before its offset.  Nobody may change the buffers meanwhile."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_frame", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__frame(void) { return PyModuleDef_Init(&definition); }
