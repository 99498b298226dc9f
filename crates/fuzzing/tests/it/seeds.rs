//! Where fuzzing begins: written once, then grown and minimised by it.

use std::fs;
use std::path::Path;

use outcrop_fuzzing::TARGETS;

/// Writes the first inputs of targets that have none.
#[test]
#[ignore = "writes the first inputs of new targets"]
fn write_seeds() {
    let root = outcrop_testkit::repository();
    for target in TARGETS {
        let folder = root.join("tests/fuzz").join(target.name);
        if folder.exists() {
            continue;
        }
        fs::create_dir_all(&folder).unwrap();
        for (number, bytes) in seeds(&root, target.name).iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), bytes).unwrap();
        }
    }
}

fn seeds(root: &Path, target: &str) -> Vec<Vec<u8>> {
    let written: Vec<&[u8]> = match target {
        "batch" => return outcrop_fuzzing::sound_batches(),
        "deletes" | "manifest" | "record" | "schema" => return golden(root, target),
        "meta" => return golden(root, "segment-meta"),
        "copy_csv" => vec![
            b"\x17\x05".as_slice(),
            b"\x02\x001,one\n2,\"t\"\"wo\nlines\"\n3,\n",
            b"\x22\x03c0,c1\r\n1,x\r\n",
            b"\x42\x03c0,c1\n1,x\n\\.\nbehind\n",
            b"\x82\x021|\"a\\\"b\"\n2|null\n3|\"null\"\n",
            b"\x17\x101,t,true,2,3,1.5,-0,1.25,7,-123456789012345678901234567890.12345,abc,\\x00ff,2024-02-29,12:34:56.789,\
              2024-02-29 12:34:56,infinity,00112233-4455-6677-8899-aabbccddeeff,\"{\"\"a\"\": [1, null]}\",\"{1,NULL}\",\
              \"{a,\"\"b c\"\",NULL}\",\"{t,f}\",{2024-02-29 00:00:00+02},{}\n",
        ],
        "copy_text" => vec![
            b"\x17\x05".as_slice(),
            b"\x02\x001\tone\n2\t\\N\n3\ta\\tb\\\\c\\x41\\102\\\nd\n",
            b"\x22\x03c0\tc1\r\n1\tx\r\n",
            b"\x42\x03c0\tc1\n1\tx\n\\.\nbehind\n",
            b"\x82\x021|a\\|b\n2|null\n",
            b"\x17\x101\tt\ttrue\t2\t3\t1.5\t-0\t1.25\t7\t-123456789012345678901234567890.12345\tabc\t\\\\x00ff\t2024-02-29\t12:34:56.789\t\
              2024-02-29 12:34:56\tinfinity\t00112233-4455-6677-8899-aabbccddeeff\t{\"a\": [1, null]}\t{1,NULL}\t\
              {a,\"b c\",NULL}\t{t,f}\t{2024-02-29 00:00:00+02}\t{}\n",
        ],
        "documents" => vec![
            b"{\"c0\":1}\n{\"c0\":null}\n{\"c0\":2,\"c1\":\"\\u00e9\\ud83d\\ude00\",\"c2\":true,\"c6\":1e-7,\"c17\":{\"a\":[1,null]}}".as_slice(),
            b"{\"c0\":3,\"c18\":[1,null],\"c19\":[\"a\",\"b\"],\"c12\":\"2024-02-29\",\"c15\":\"2024-02-29T12:34:56Z\"}",
            b"{\"c0\":4,\"c9\":123456789.12345,\"c11\":\"\\\\x00ff\",\"c16\":\"00112233-4455-6677-8899-aabbccddeeff\"}\n{\"no\":1}\n[]",
        ],
        "jsonb" => vec![
            b"{\"b\": 1, \"a\": [true, null, -1.50e+10, \"\\u00e9\\n\"], \"a\": {}}".as_slice(),
            b"[[[[1e400, 0.0001, 123456789012345678901234567890]]]]",
            b"\"\\ud83d\\ude00\"",
        ],
        "key_run" => vec![
            b"\x00\x00\x10\x00\x13abcd".as_slice(),
            b"\x01\x00\x00\x10\x07abcdefgh\x00\x40\x00\x01\x05\x00",
            b"\x01\x00\x38\x00\x01\xff\xff\x00\x00\x20\x01\x00\x01",
        ],
        "log" => vec![
            b"\x00\x08\x10\x00\x05".as_slice(),
            b"\x00\x28\x10\x07\x01\x00\x00\x00\x02\x00\x00\x00\x01\x04\x20\x00\x03",
            b"\x01\x00\x20\x10\xff\x02\x00\x00\x00\x00",
        ],
        "segment" => vec![
            b"\x00\x40\x00\x03abcd".as_slice(),
            b"\x01\x60\x00\x03\x01\x02\x03\x04\x01\x48\x00\x13\xff\xff\xff\xff",
            b"\x00\x00\x40\x1f0123456789abcdef",
        ],
        "values" => return values(),
        "wire" => return wire(),
        other => panic!("no seeds for {other}"),
    };
    written.into_iter().map(<[u8]>::to_vec).collect()
}

/// The golden files whose names begin so.
fn golden(root: &Path, start: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(root.join("tests/formats/v1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let wanted = paths.iter().filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start));
    let mut files: Vec<Vec<u8>> = wanted.map(|path| fs::read(path).unwrap()).collect();
    files.push(Vec::new());
    files
}

fn values() -> Vec<Vec<u8>> {
    let texts = [
        (0, "-2147483648"),
        (1, "text"),
        (2, "yes"),
        (5, "1e-45"),
        (6, "-Infinity"),
        (7, "99999999.99"),
        (9, "1e70"),
        (10, "abc  "),
        (11, "\\x00FF"),
        (11, "a\\134b\\\\"),
        (12, "January 8, 1999 BC"),
        (12, "infinity"),
        (13, "23:59:60"),
        (14, "2024-02-29T24:00:00.999999"),
        (15, "1999-01-08 04:05:06 -8:00"),
        (15, "294276-12-31 23:59:59.999999+00"),
        (16, "{00112233-4455-6677-8899-AABBCCDDEEFF}"),
        (17, "{\"a\":[1.10,\"\\u0041\"]}"),
        (18, "{1,NULL,-3}"),
        (19, "{a,\"b \\\" c\",\"\",NULL}"),
        (21, "{infinity,NULL}"),
        (22, "{\"\\\\x00\"}"),
    ];
    texts.into_iter().map(|(number, text)| [&[number], text.as_bytes()].concat()).collect()
}

fn wire() -> Vec<Vec<u8>> {
    let start = b"\0\0\0\x12\0\x03\0\0user\0a\0\0".as_slice();
    let message = |kind: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind], length.as_slice(), body].concat()
    };
    let session = [
        start.to_vec(),
        message(b'Q', b"select 1\0"),
        message(b'P', b"s\0select $1\0\0\x01\0\0\0\x17"),
        message(b'B', b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\x01"),
        message(b'D', b"Pp\0"),
        message(b'E', b"p\0\0\0\0\x05"),
        message(b'C', b"Ss\0"),
        message(b'H', b""),
        message(b'S', b""),
        message(b'd', b"1\t2\n"),
        message(b'c', b""),
        message(b'f', b"why\0"),
        message(b'F', b""),
        message(b'X', b""),
    ]
    .concat();
    vec![
        [b"\x03".as_slice(), &session].concat(),
        b"\x00\0\0\0\x08\x04\xd2\x16\x2f".to_vec(),
        b"\x00\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04".to_vec(),
        b"\x00\0\0\0\x37\0\x03\0\x02user\0anna\0options\0-c a=b\\ c --x-y=1\0_pq_.x\x001\0\0".to_vec(),
        b"\x00\0\0\0\x12\0\x03\0\0user\0a\0\0Q\xff\xff\xff\xff".to_vec(),
    ]
}
