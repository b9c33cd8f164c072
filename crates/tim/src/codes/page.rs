//! The table of codes as a page for people.
//!
//! Owns:  `docs/result-codes.md`: its order, its words about each class, and that it says what the table says.
//! Never: stands in the library: it is a test.

use std::fmt::Write as _;

use super::{Class, all, cure, documented_wait, may_have_arrived};

const HEAD: &str = "\
# Result codes of Tencent IM

Every code that the SDKs and the REST interface answer with, by class: what it means and what to do. This page is
printed from the table in `crates/tim/src/codes/`, and a test compares the two
(`OUTBOX_WRITE_TABLES=1 cargo test -p outbox-tim page_of_codes` writes it anew). What the daemon does with each class
stands in [tencent-im.md](tencent-im.md); `[classes]` in the configuration gives a code another class.

- **may have arrived**: the request was written and the answer is missing. The same send token is repeated within the
  service's de-duplication window, then `delivery.on_uncertain` decides.
- **waits**: the delay that the vendor documents. The next attempt comes no sooner, but 1 h is the most that is waited
  for it, whatever the code says. An account that a code of class `auth` paused has a rhythm of its own: with `http` and
  `tim` one message is tried after 1 min, then ever later up to 15 min.
";

/// What becomes of a message that is answered with a code of the class.
const fn about(class: Class) -> &'static str {
    match class {
        Class::Ok => "No error. Alone it proves nothing: a success has `data`, too.",
        Class::TransientNetwork => {
            "The link is in doubt: sent again once it is up. Not counted as an attempt."
        }
        Class::TransientServer => "Sent again with backoff.",
        Class::RateLimited => "The account slows down. Not counted as an attempt.",
        Class::Auth => {
            "The account pauses and keeps everything, until its login is mended. Not counted as an attempt."
        }
        Class::PermanentContent => "Failed: only other content helps.",
        Class::PermanentRecipient => "Failed: a person may mend the reason and resend.",
        Class::PermanentRequest => "Failed: the app asks for something wrong.",
        Class::FileUpload => "Sent again after 30 s and later, failed after 10 attempts.",
        Class::Unknown => "Sent again a few times (`retry.unknown_max_attempts`), then failed.",
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for class in Class::ALL {
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = write!(
            page,
            "\n## {class}\n\n{}\n\n| code | name | meaning | cure |\n|---|---|---|---|\n",
            about(class)
        );
        for row in all().filter(|row| row.class == class) {
            let code = if row.code == 120_001 { "120001 to 130000".to_owned() } else { row.code.to_string() };
            let mut meaning = row.meaning.to_owned();
            if may_have_arrived(row.code) {
                meaning.push_str("; **may have arrived**");
            }
            if let Some(wait) = documented_wait(row.code) {
                let _ = write!(meaning, "; **waits** {} ms", wait.as_millis());
            }
            let _ = writeln!(
                page,
                "| {code} | `{}` | {} | {} |",
                row.name,
                cell(&meaning),
                cell(cure(row.code, class))
            );
        }
    }
    page
}

#[test]
fn the_page_of_codes_says_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/result-codes.md");
    let page = page();
    println!("{page}");
    if std::env::var_os("OUTBOX_WRITE_TABLES").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/result-codes.md is not what is printed above");
}
