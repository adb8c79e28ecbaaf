//! A folder as a store.

use futures_util::TryStreamExt as _;

use super::*;
use crate::config::Sources;

/// What a folder takes at once.
const PART: usize = 512 << 10;

fn storage(folder: &std::path::Path) -> Storage {
    Storage::open(&config(folder)).unwrap()
}

fn config(folder: &std::path::Path) -> Config {
    let mut sources = Sources::from_process();
    sources.file = crate::config::SettingsFile::Absent;
    sources.environment = [
        ("CONVOKE_DATA_DIR".to_owned(), folder.as_os_str().to_owned()),
        ("CONVOKE_STORAGE_URL".to_owned(), "file:below/files".into()),
    ]
    .into();
    Config::load(&sources).unwrap().config
}

async fn keys(storage: &Storage, folder: &str) -> Vec<String> {
    let found: Vec<Stored> = storage.list(folder).try_collect().await.unwrap();
    let mut keys: Vec<String> = found.into_iter().map(|one| one.key).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn what_is_written_is_read_whole_and_in_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path());
    let content: Vec<u8> = (0..2_000_003_u32)
        .map(|n| n.to_le_bytes()[n as usize % 3])
        .collect();
    for (key, length) in [
        ("a/empty", 0),
        ("a/small", 1000),
        ("b/large", content.len()),
        ("b/part", PART),
    ] {
        let mut upload = storage.upload(key).unwrap();
        for piece in content[..length].chunks(77_777) {
            upload.write(piece).await.unwrap();
        }
        assert_eq!(upload.finish().await.unwrap(), length as u64);
        assert_eq!(storage.head(key).await.unwrap().size, length as u64);
        let whole = storage.get(key, None).await.unwrap();
        assert_eq!(
            (whole.size(), whole.range()),
            (length as u64, &(0..length as u64))
        );
        assert!(whole.bytes().await.unwrap() == content[..length]);
    }
    let range = storage
        .get("b/large", Some(1_234_567..1_700_001))
        .await
        .unwrap();
    assert_eq!(range.size(), content.len() as u64);
    assert!(range.bytes().await.unwrap() == content[1_234_567..1_700_001]);
    assert_eq!(
        keys(&storage, "").await,
        ["a/empty", "a/small", "b/large", "b/part"]
    );
    assert_eq!(keys(&storage, "b").await, ["b/large", "b/part"]);
    storage.delete("a/small").await.unwrap();
    storage.delete("a/small").await.unwrap();
    assert_eq!(
        storage.get("a/small", None).await.unwrap_err().reason(),
        Reason::NotFound
    );
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path());
    let mut upload = storage.upload("a/b").unwrap();
    upload.write(&vec![7; 3 << 20]).await.unwrap();
    let staged = folder.path().join("below/files/a/b#1");
    assert!(staged.exists());
    assert_eq!(keys(&storage, "").await, [""; 0], "nobody sees it");
    drop(upload);
    while staged.exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_crash_left_is_swept_once_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path());
    assert_eq!(
        storage.sweep_unfinished(Duration::ZERO).await.unwrap(),
        0,
        "no folder yet"
    );
    storage
        .put("a/whole", Bytes::from_static(b"x"))
        .await
        .unwrap();
    std::fs::write(folder.path().join("below/files/a/cut#1"), b"x").unwrap();
    assert_eq!(
        storage
            .sweep_unfinished(Duration::from_hours(1))
            .await
            .unwrap(),
        0
    );
    assert_eq!(storage.sweep_unfinished(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(keys(&storage, "").await, ["a/whole"]);
}

#[tokio::test]
async fn keys_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path());
    for key in [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "a b",
        "a\r\nb",
        "ä",
        "a%2fb",
        "a#1",
        ".a",
    ] {
        assert!(storage.upload(key).is_err(), "{key:?}");
        assert!(storage.get(key, None).await.is_err(), "{key:?}");
    }
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path());
    // A file stands where the folder should be.
    std::fs::write(folder.path().join("below"), b"").unwrap();
    let failure = storage
        .put("a/b", Bytes::from_static(b"x"))
        .await
        .unwrap_err();
    assert!(
        failure
            .to_string()
            .starts_with("the file store failed to put: "),
        "{failure}"
    );
}

#[test]
fn a_bucket_opens_without_asking_it() {
    let config = Config::load(&Sources {
        environment: [
            ("CONVOKE_STORAGE_URL", "s3://bucket/prefix"),
            ("CONVOKE_STORAGE_S3_ENDPOINT", "http://127.0.0.1:1"),
            ("CONVOKE_STORAGE_S3_ACCESS_KEY_ID", "key"),
            ("CONVOKE_STORAGE_S3_SECRET_ACCESS_KEY", "very-secret"),
            (
                "CONVOKE_SECRET_KEY",
                "v9#Kd!2mQz&7Lp@4Xw*8Rt^1Yc%6Nb$3Hs+5Gf",
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.into()))
        .into(),
        file: crate::config::SettingsFile::Absent,
        terminal: false,
        cpus: 1,
    })
    .unwrap()
    .config;
    let storage = Storage::open(&config).unwrap();
    assert_eq!(
        (storage.kind(), storage.shown()),
        ("s3", "s3://bucket/prefix")
    );
    assert!(storage.signs() && !format!("{storage:?}").contains("very-secret"));
}

#[tokio::test]
async fn what_is_written_to_the_target_and_seen_in_the_source_stops_a_move() {
    let folder = tempfile::tempdir().unwrap();
    let storage = storage(folder.path());
    storage
        .put("attachments/a", Bytes::from_static(b"x"))
        .await
        .unwrap();
    let open = |path: &str| {
        let url = format!("file://{}/{path}", folder.path().display());
        Storage::open_url(&url.parse().unwrap(), &config(folder.path())).unwrap()
    };
    let options = Migration {
        dry_run: false,
        delete_source: true,
        parallel: 1,
    };
    for (from, to) in [
        ("below/files", "below/files"),
        ("below/files/attachments", "below/files"),
        ("below", "below/files"),
    ] {
        let (from, to) = (open(from), open(to));
        let outcome = migrate(&from, &to, options, &mut |_| {}).await;
        assert!(
            matches!(outcome, Err(NotMigrated::SameStore { .. })),
            "{outcome:?}"
        );
        assert_eq!(keys(&storage, "").await, ["attachments/a"]);
    }
    let (from, to) = (open("below/files"), open("new"));
    let moved = migrate(&from, &to, options, &mut |_| {}).await.unwrap();
    assert_eq!((moved.copied.files, moved.deleted.files), (1, 1));
    assert_eq!(keys(&to, "").await, ["attachments/a"]);
}
