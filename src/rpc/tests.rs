//! Tests of the room are beside what they test.
