//! Tests of the C shape.
