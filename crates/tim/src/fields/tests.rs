//! Tests of `fields`, with two small types of their own.
//!
//! Owns:  which spellings are understood, and that what was read is written back.
//! Never: tests a type of the SDK.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::any::Any;
use super::{NumberText, Shape, Wire};

open_enum! {
    /// A size.
    enum Size {
        /// Small.
        Small = 1,
        /// Large.
        Large = 4,
    }
}

shape! {
    /// A picture.
    struct Picture {
        /// Its name.
        uuid: String = "UUID" | "uuid",
        /// Its size.
        size: Size = "size",
        /// Whether it is shown.
        shown: bool = "shown",
        /// Its place.
        seq: NumberText = "seq",
        /// Those after it.
        more: Vec<Picture> = "more",
        /// Where it was taken.
        latitude: f64 = "latitude",
    }
}

fn read(value: Value) -> Picture {
    Picture::read(&value).unwrap()
}

#[test]
fn what_is_read_is_written_back_as_it_came() {
    for value in [
        json!({}),
        json!({"UUID": "a", "size": 1, "shown": true, "seq": "7", "latitude": 1.5}),
        json!({"uuid": "a", "seq": 7}),
        json!({"uuid": "a", "UUID": "b"}),
        json!({"uuid": "a", "UUID": "a"}),
        json!({"uuid": "a", "UUID": null}),
        json!({"size": "4", "shown": 1, "seq": "007", "latitude": 3}),
        json!({"size": 9, "shown": "true", "seq": null, "latitude": "1.50"}),
        json!({"size": {}, "shown": 2, "seq": "x", "more": [1], "latitude": []}),
        json!({"more": [{"uuid": "b", "new": [null]}, {"more": []}], "later": {"a": 1}}),
    ] {
        assert_eq!(read(value.clone()).write(), value);
    }
}

#[test]
fn every_spelling_has_its_meaning() {
    let picture = read(json!({"uuid": "a", "UUID": "b", "size": "4", "shown": 1, "seq": 7}));
    assert_eq!(picture.uuid.as_deref(), Some("b"));
    assert_eq!((picture.size, picture.shown), (Some(Size::Large), Some(true)));
    assert_eq!(picture.seq, Some(NumberText(7)));
    assert_eq!(read(json!({"uuid": "a", "UUID": null})).uuid.as_deref(), Some("a"));
    assert_eq!(read(json!({"size": 3})).size, Some(Size::Other(3)));
    assert_eq!(
        read(json!({"shown": 2, "seq": "x"})),
        Picture { rest: json!({"shown": 2, "seq": "x"}).as_object().unwrap().clone(), ..Picture::default() }
    );
}

#[test]
fn a_field_that_was_changed_is_written_in_the_first_spelling_alone() {
    let mut picture = read(json!({"uuid": "a", "seq": 7, "shown": 1, "new": 1}));
    picture.uuid = Some("z".to_owned());
    picture.seq = Some(NumberText(8));
    picture.shown = None;
    assert_eq!(picture.write(), json!({"UUID": "z", "seq": "8", "new": 1}));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_written_value_is_read_as_itself(picture in Picture::any(3)) {
        let text = serde_json::to_string(&picture).unwrap();
        let again: Picture = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&again, &picture);
        prop_assert_eq!(again.write_object(), picture.write_object());
    }
}
