"""Build the client in place: `python setup.py build_ext --inplace`, with fastbp installed."""

from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    name="blas_client",
    ext_modules=cythonize([Extension("blas_client", ["blas_client.pyx"])], language_level=3),
)
