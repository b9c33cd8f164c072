//! Tests of values that the SDKs take and REST does not, or spells otherwise.
//!
//! Owns:  numbers out of range, odd items of lists, notifications, webhooks, notices of the service.
//! Never: checks who gets a message.

use super::*;

/// A message of the C shape to one person with these fields beside its elements.
fn with_c(elements: &Value, fields: &Value) -> Value {
    let mut message =
        json!({"message_conv_type": 1, "message_conv_id": "lena", "message_elem_array": elements});
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

fn text_c() -> Value {
    json!([{"elem_type": 0, "text_elem_content": "a"}])
}

fn content(message: &Value) -> Value {
    body(message)["MsgBody"][0]["MsgContent"].clone()
}

#[test]
fn counts_are_whole_and_never_below_0() {
    let url = "https://h/a";
    let sound = |size: Value, time: Value| {
        let camel = with(
            &json!({"elemType": 4, "soundElem": {"url": url, "UUID": "u", "dataSize": size, "duration": time}}),
        );
        let c = with_c(
            &json!([{"elem_type": 2, "sound_elem_url": url, "sound_elem_file_id": "u",
                "sound_elem_file_size": size, "sound_elem_file_time": time}]),
            &json!({}),
        );
        [camel, c]
    };
    for (size, time, expected) in [
        (json!(-1), json!(1.5), (0, 2)),
        (json!(9.4), json!("1.2"), (9, 1)),
        (json!("90112"), json!(-0.4), (90_112, 0)),
        (Value::Null, json!("long"), (0, 0)),
        (json!(-1e300), json!([3]), (0, 0)),
    ] {
        for message in sound(size.clone(), time.clone()) {
            let content = content(&message);
            assert_eq!(
                (&content["Size"], &content["Second"]),
                (&json!(expected.0), &json!(expected.1)),
                "{message}"
            );
        }
    }
}

#[test]
fn every_count_of_every_element_is_one() {
    let url = "https://h/a";
    let file = json!({"elemType": 6, "fileElem": {"url": url, "fileSize": -7}});
    let image = json!({"elemType": 3, "imageElem": {"imageList": [
        {"url": url, "size": -1, "width": 1.6, "height": -2.5}]}});
    let video = json!({"elemType": 5, "videoElem": {"videoUrl": url, "snapshotUrl": url, "videoSize": -1,
        "duration": 3.5, "snapshotSize": 0.6, "snapshotWidth": -1, "snapshotHeight": 2.2}});
    let image_c = json!([{"elem_type": 1, "image_elem_orig_url": url, "image_elem_orig_pic_size": -1,
        "image_elem_orig_pic_width": 1.6, "image_elem_orig_pic_height": -2.5,
        "image_elem_large_url": url, "image_elem_large_pic_size": -1, "image_elem_large_pic_width": 1.6,
        "image_elem_large_pic_height": -2.5, "image_elem_thumb_url": url, "image_elem_thumb_pic_size": -1,
        "image_elem_thumb_pic_width": 1.6, "image_elem_thumb_pic_height": -2.5}]);
    let video_c = json!([{"elem_type": 9, "video_elem_video_url": url, "video_elem_image_url": url,
        "video_elem_video_size": -1, "video_elem_video_duration": 3.5, "video_elem_image_size": 0.6,
        "video_elem_image_width": -1, "video_elem_image_height": 2.2}]);
    let file_c = json!([{"elem_type": 4, "file_elem_url": url, "file_elem_file_size": -7}]);
    for message in [with(&file), with_c(&file_c, &json!({}))] {
        assert_eq!(content(&message)["FileSize"], 0);
    }
    for (message, sizes) in [(with(&image), 1), (with_c(&image_c, &json!({})), 3)] {
        let all = content(&message)["ImageInfoArray"].as_array().unwrap().clone();
        assert_eq!(all.len(), sizes);
        for size in all {
            assert_eq!((&size["Size"], &size["Width"], &size["Height"]), (&json!(0), &json!(2), &json!(0)));
        }
    }
    for message in [with(&video), with_c(&video_c, &json!({}))] {
        let video = content(&message);
        let counts = ["VideoSize", "VideoSecond", "ThumbSize", "ThumbWidth", "ThumbHeight"];
        assert_eq!(counts.map(|name| video[name].as_i64().unwrap()), [0, 4, 1, 0, 2]);
    }
}

#[test]
fn a_picture_that_cannot_be_read_does_not_take_the_others_with_it() {
    let image = json!({"elemType": 3, "imageElem": {"imageList": [null, 5, {"uuid": "p", "url": "HTTPS://h/o"}, "x"]}});
    let sizes = content(&with(&image))["ImageInfoArray"].clone();
    assert_eq!(sizes, json!([{"Type": 1, "Size": 0, "Width": 0, "Height": 0, "URL": "HTTPS://h/o"}]));
    let message = crate::V2TimMessage::parse(with(&image).to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&message.to_json()).unwrap(), with(&image), "nothing is lost");
    for list in [json!([null]), json!("x"), json!(null)] {
        let image = json!({"elemType": 3, "imageElem": {"imageList": list}});
        assert_eq!(refused(&with(&image)), CannotCarry::LocalFile { element: "imageElem" });
    }
}

#[test]
fn a_video_of_the_c_shape_has_its_format_in_rests_words() {
    let video = json!([{"elem_type": 9, "video_elem_video_type": "video/mp4", "video_elem_image_type": "image/png",
        "video_elem_video_url": "https://h/v", "video_elem_image_url": "https://h/i"}]);
    let content = content(&with_c(&video, &json!({})));
    assert_eq!((&content["VideoFormat"], &content["ThumbFormat"]), (&json!("mp4"), &json!("png")));
}

#[test]
fn a_notification_of_the_c_shape_has_its_title_wherever_it_stands() {
    let push = |config: Value| {
        body(&with_c(&text_c(), &json!({ "message_offline_push_config": config })))["OfflinePushInfo"].clone()
    };
    let ios = |title: &str| json!({"ios_offline_push_config_title": title});
    let android = |title: &str| json!({"android_offline_push_config_title": title});
    for (config, expected) in [
        (json!({"offline_push_config_title": "t"}), json!({"Title": "t"})),
        (
            json!({"offline_push_config_title": "", "offline_push_config_android_config": android("a"),
                "offline_push_config_ios_config": ios("i")}),
            json!({"Title": "a", "ApnsInfo": {"Title": "i"}}),
        ),
        (
            json!({"offline_push_config_ios_config": ios("i")}),
            json!({"Title": "i", "ApnsInfo": {"Title": "i"}}),
        ),
        (
            json!({"offline_push_config_title": "t", "offline_push_config_ios_config": ios("i")}),
            json!({"Title": "t", "ApnsInfo": {"Title": "i"}}),
        ),
        (json!({"offline_push_config_android_config": android("")}), Value::Null),
    ] {
        assert_eq!(push(config.clone()), expected, "{config}");
    }
}

#[test]
fn every_number_but_0_means_no_push() {
    for (flag, expected) in
        [(json!(0), Value::Null), (json!(1), json!(1)), (json!(2), json!(1)), (json!("-1"), json!(1))]
    {
        let message =
            with_c(&text_c(), &json!({"message_offline_push_config": {"offline_push_config_flag": flag}}));
        assert_eq!(body(&message)["OfflinePushInfo"]["PushFlag"], expected, "{flag}");
    }
}

#[test]
fn a_kind_that_vivos_service_does_not_know_is_left_out() {
    for (kind, expected) in [(json!(0), json!(0)), (json!("1"), json!(1)), (json!(7), Value::Null)] {
        let camel = with(&json!({"elemType": 1, "textElem": {"text": "a"},
            "offlinePushInfo": {"desc": "d", "androidVIVOClassification": kind}}));
        let c = with_c(
            &text_c(),
            &json!({"message_offline_push_config": {"offline_push_config_desc": "d",
                "offline_push_config_android_config": {"android_offline_push_config_vivo_classification": kind}}}),
        );
        for message in [camel, c] {
            let push = body(&message)["OfflinePushInfo"].clone();
            assert_eq!(push["AndroidInfo"]["VIVOClassification"], expected, "{message}");
        }
    }
}

#[test]
fn webhooks_that_the_message_forbids_are_forbidden_in_both_calls_and_shapes() {
    let (before, after) = ("ForbidBeforeSendMsgCallback", "ForbidAfterSendMsgCallback");
    let camel = |pre: bool, post: bool, group: Value| {
        let mut message = with(&json!({"elemType": 1, "textElem": {"text": "a"},
            "isDisableCloudMessagePreHook": pre, "isDisableCloudMessagePostHook": post}));
        if !group.is_null() {
            message["userID"] = Value::Null;
            message["groupID"] = group;
        }
        body(&message)["ForbidCallbackControl"].clone()
    };
    for group in [Value::Null, json!("pier")] {
        assert_eq!(camel(true, true, group.clone()), json!([before, after]));
        assert_eq!(camel(true, false, group.clone()), json!([before]));
        assert_eq!(camel(false, true, group.clone()), json!([after]));
        assert_eq!(camel(false, false, group), Value::Null);
    }
    let c = with_c(
        &text_c(),
        &json!({"message_disable_cloud_message_pre_hook": true, "message_disable_cloud_message_post_hook": 1}),
    );
    assert_eq!(body(&c)["ForbidCallbackControl"], json!([before, after]));
}

#[test]
fn what_is_for_those_online_alone_asks_for_no_receipt() {
    let text = json!({"elemType": 1, "textElem": {"text": "a"}, "needReadReceipt": true});
    let options = CallOptions { online_user_only: true, ..OPTIONS };
    let (_, online) = called(&with(&text), &options);
    assert_eq!((&online["MsgLifeTime"], online.get("IsNeedReadReceipt")), (&json!(0), None));
    assert_eq!(body(&with(&text))["IsNeedReadReceipt"], 1);
}

#[test]
fn notices_of_the_service_are_refused_for_every_transport() {
    for elem_type in [8, 10, 11] {
        let message = with_c(&json!([{ "elem_type": elem_type }]), &json!({}));
        let error = refused(&message);
        assert_eq!(error, CannotCarry::Notice { elem_type });
        assert!(error.hint().contains("do not submit"), "{}", error.hint());
    }
    let report = with(&json!({"elemType": 11, "groupReportElem": {"reportType": 1}}));
    assert_eq!(refused(&report), CannotCarry::Notice { elem_type: 11 });
    let stream = with(&json!({"elemType": 11, "streamElem": {"markdown": "#"}}));
    assert_eq!(refused(&stream), CannotCarry::UnknownElement { elem_type: 11 });
}

#[test]
fn a_text_that_is_none_is_not_sent_as_an_empty_one() {
    let missing = |field| CannotCarry::Missing { field };
    let data = json!({"a": 1});
    for (elements, field) in [
        (json!({"elemType": 2, "customElem": {"data": data}}), "customElem.data"),
        (json!({"elemType": 8, "faceElem": {"index": 1, "data": data}}), "faceElem.data"),
        (
            json!({"elemType": 7, "locationElem": {"latitude": 1, "longitude": 1, "desc": 5}}),
            "locationElem.desc",
        ),
        (json!({"elemType": 1, "textElem": {"text": "a"}, "cloudCustomData": data}), "cloudCustomData"),
    ] {
        assert_eq!(refused(&with(&elements)), missing(field));
    }
    for (element, field) in [
        (json!({"elem_type": 3, "custom_elem_data": data}), "custom_elem_data"),
        (json!({"elem_type": 6, "face_elem_index": 1, "face_elem_buf": data}), "face_elem_buf"),
    ] {
        assert_eq!(refused(&with_c(&json!([element]), &json!({}))), missing(field));
    }
    let c = with_c(&text_c(), &json!({ "message_cloud_custom_str": data }));
    assert_eq!(refused(&c), missing("message_cloud_custom_str"));
    for none in [Value::Null, json!("")] {
        let custom = json!({"elemType": 2, "customElem": {"data": none}, "cloudCustomData": none});
        let body = body(&with(&custom));
        assert_eq!(
            (&body["MsgBody"][0]["MsgContent"], body.get("CloudCustomData")),
            (&json!({"Data": ""}), None)
        );
    }
}
