//! A file that is not what was written is refused, and one that is not whole does not look it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Site, names};
use crate::support::commands::convoke;
use crate::support::polling::eventually_blocking;

/// The places of a file in which one bit is turned: its ends, and all kinds of members between them.
fn places(size: usize) -> Vec<usize> {
    let mut places = vec![0, 1, 124, 511, 512, 1000, size / 3, size / 2];
    // The manifest, the checksum's header, the checksum, and the empty end.
    places.extend([
        size - 3000,
        size - 2048,
        size - 1600,
        size - 1536,
        size - 1025,
        size - 1024,
        size - 1,
    ]);
    places
}

on_both_engines! {
    async fn a_turned_bit_is_found_wherever_it_is(engine: Engine) {
        let site = Site::filled(engine, 1).await;
        let file = site.backup(&[]);
        let whole = std::fs::read(&file).unwrap();
        let target = Site::new(engine).await;
        for place in places(whole.len()) {
            let mut turned = whole.clone();
            turned[place] ^= 0x10;
            std::fs::write(&file, &turned).unwrap();
            let told = target.refused(&["restore", file.to_str().unwrap()]);
            assert!(told.contains("the backup is damaged"), "byte {place}: {told}");
        }
        // The service is told when it is the one that it knows.
        let told = site.refused(&["backup", "verify", file.to_str().unwrap()]);
        assert!(told.contains("the backup is damaged"), "{told}");
        assert_eq!(site.count("backups WHERE verification = 'failed'").await, 1);
        std::fs::write(&file, &whole).unwrap();
        target.restore(&file);
    }

    async fn a_file_cut_off_is_found_wherever_it_was(engine: Engine) {
        let site = Site::filled(engine, 1).await;
        let file = site.backup(&[]);
        let whole = std::fs::read(&file).unwrap();
        let target = Site::new(engine).await;
        let all = whole.len();
        for length in [0, 1, 2047, 2048, 4096, all / 2, all - 2048, all - 1024, all - 512, all - 1] {
            std::fs::write(&file, &whole[..length]).unwrap();
            let told = target.refused(&["restore", file.to_str().unwrap()]);
            assert!(told.contains("the backup is damaged") && told.contains("cut off"), "{length} bytes: {told}");
        }
        let longer = [&whole[..], &[0; 512]].concat();
        std::fs::write(&file, longer).unwrap();
        target.refused(&["restore", file.to_str().unwrap()]);
        if engine == crate::support::engines::Engine::Sqlite {
            assert!(!target.folder.path().join("convoke.db").exists(), "nothing was changed");
        } else {
            assert_eq!(target.count("pg_tables WHERE schemaname = 'public'").await, 0);
        }
    }

    async fn one_killed_half_way_leaves_nothing_that_looks_whole(engine: Engine) {
        let site = Site::filled(engine, 24).await;
        let to = site.backups();
        std::fs::create_dir(&to).unwrap();
        let mut child = convoke(&["backup", "--to", to.to_str().unwrap()], &site.settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually_blocking("it has begun to write", Duration::from_mins(1), || {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
            (!names(&to).is_empty()).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let left = names(&to);
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(!left[0].ends_with(".backup"), "{left:?}");
        assert_eq!(site.must(&["backup", "list", "--to", to.to_str().unwrap()]), "");
        let scratch = site.folder.path().join("backup-scratch");
        assert!(!names(&scratch).is_empty(), "what it needed is left");

        // The next one clears both away, when nobody has written there for a while.
        let old = Command::new("touch").args(["-d", "1 hour ago"]).arg(to.join(&left[0])).status();
        assert!(old.unwrap().success());
        let file = site.backup(&[]);
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(names(&to), [name]);
        assert_eq!(names(&scratch), Vec::<String>::new());
        site.must(&["backup", "verify", file.to_str().unwrap()]);
    }

    async fn what_is_no_backup_is_refused(engine: Engine) {
        let site = Site::new(engine).await;
        let path = site.folder.path().join("something");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        file.write_all(&vec![b'x'; 100_000]).unwrap();
        let told = site.refused(&["restore", path.to_str().unwrap()]);
        assert!(told.contains("the backup is damaged"), "{told}");
        let told = site.refused(&["restore", Path::new("/nowhere/at/all").to_str().unwrap()]);
        assert!(told.contains("/nowhere/at/all cannot be read"), "{told}");
    }
}
