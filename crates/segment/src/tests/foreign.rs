//! The data file read by Vortex alone (G4).

use outcrop_env::FileName;
use outcrop_types::DataType;
use vortex::VortexSessionDefault;
use vortex::array::VortexSessionExecute;
use vortex::array::stream::ArrayStreamExt;
use vortex::arrow::ArrowSessionExt;
use vortex::buffer::ByteBuffer;
use vortex::file::OpenOptionsSessionExt;
use vortex::io::runtime::single::block_on;
use vortex::io::session::RuntimeSessionExt;
use vortex::session::VortexSession;

use super::data::*;
use crate::columns::to_file;
use crate::data_file_name;

#[test]
fn g4_the_data_file_is_a_standard_vortex_file() {
    let types: Vec<_> = all_types().into_iter().map(|data_type| (data_type, true)).collect();
    let schema = schema(&types);
    let env = environment(9);
    let batch = batch(&schema, 9, 1000, Spread::Wild, 10);
    write(&env, &schema, &batch, 300, &options(256, 4096));
    let file = env.disk.open_read(&FileName::in_dir(DIR, &data_file_name(LOG, UNIT)).unwrap()).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    let found = block_on(|handle| async move {
        let session = <VortexSession as VortexSessionDefault>::default().with_handle(handle);
        let file = session.open_options().open_buffer(ByteBuffer::from(bytes)).unwrap();
        let array = file.scan().unwrap().into_array_stream().unwrap().read_all().await.unwrap();
        let target = session.arrow().to_arrow_field("", array.dtype()).unwrap();
        session.arrow().execute_arrow(array, Some(&target), &mut session.create_execution_ctx()).unwrap()
    });
    let found = arrow_array::cast::AsArray::as_struct(&*found).clone();
    assert_eq!(found.column_names().last(), Some(&"__seq"));
    for ((column, expected), found) in schema.columns.iter().zip(batch.columns()).zip(found.columns()) {
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.logical_null_count(), expected.logical_null_count(), "{}", column.data_type);
        if !matches!(column.data_type, DataType::Array(_)) {
            let expected = to_file(expected, &column.data_type).unwrap();
            assert_same(found, &expected, &column.data_type.to_string());
        }
    }
}
