// Writes kpl-cases.json: what the KCL's own AggregatorUtil makes of each case. With a JDK:
//   java -cp 'JARS/*' tests/data/KplCases.java CASES.txt kpl-cases.json    (each line: data in base64)
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.util.*;
import software.amazon.kinesis.retrieval.*;

public class KplCases {
    public static void main(String[] arguments) throws Exception {
        List<String> cases = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            KinesisClientRecord record = KinesisClientRecord.builder()
                    .data(ByteBuffer.wrap(Base64.getDecoder().decode(line)))
                    .partitionKey("key")
                    .sequenceNumber("1")
                    .build();
            List<String> texts = new ArrayList<>();
            for (KinesisClientRecord one : new AggregatorUtil().deaggregate(List.of(record))) {
                byte[] data = new byte[one.data().remaining()];
                one.data().get(data);
                texts.add("[\"" + Base64.getEncoder().encodeToString(data) + "\"," + one.subSequenceNumber() + "]");
            }
            cases.add("{\"data\":\"" + line + "\",\"records\":[" + String.join(",", texts) + "]}");
        }
        Files.writeString(Path.of(arguments[1]), "[\n" + String.join(",\n", cases) + "\n]\n");
    }
}
