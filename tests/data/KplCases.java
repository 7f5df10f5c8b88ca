// Writes kpl-cases.json: what the KCL's own AggregatorUtil makes of each case. With a JDK:
//   java -cp 'JARS/*' tests/data/KplCases.java CASES.txt kpl-cases.json    (each line: data in base64, first and last hash key)
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.util.*;
import software.amazon.kinesis.retrieval.*;

public class KplCases {
    public static void main(String[] arguments) throws Exception {
        List<String> cases = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            String[] words = line.split(" ");
            KinesisClientRecord record = KinesisClientRecord.builder()
                    .data(ByteBuffer.wrap(Base64.getDecoder().decode(words[0])))
                    .partitionKey("key")
                    .sequenceNumber("1")
                    .build();
            String found = "null"; // it failed, and with it the batch
            try {
                List<String> texts = new ArrayList<>();
                for (KinesisClientRecord one : new AggregatorUtil().deaggregate(List.of(record), words[1], words[2])) {
                    byte[] data = new byte[one.data().remaining()];
                    one.data().get(data);
                    texts.add("[\"" + Base64.getEncoder().encodeToString(data) + "\"," + one.subSequenceNumber() + "]");
                }
                found = "[" + String.join(",", texts) + "]";
            } catch (NoClassDefFoundError error) {
                System.err.println(error);
            }
            cases.add("{\"data\":\"" + words[0] + "\",\"first\":\"" + words[1] + "\",\"last\":\"" + words[2]
                    + "\",\"records\":" + found + "}");
        }
        Files.writeString(Path.of(arguments[1]), "[\n" + String.join(",\n", cases) + "\n]\n");
    }
}
