import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.datatype.jsr310.JavaTimeModule;
import java.io.File;

/** Reads and writes each event of a JSON file, `{"CartItemAdded": [{…}]}`, as its generated class. */
public final class ReadEvents {
  public static void main(String[] arguments) throws Exception {
    ObjectMapper mapper = new ObjectMapper().registerModule(new JavaTimeModule());
    JsonNode events = mapper.readTree(new File(arguments[0]));
    for (var names = events.fieldNames(); names.hasNext(); ) {
      String name = names.next();
      Class<?> type = Class.forName("events." + name);
      for (JsonNode event : events.get(name)) {
        JsonNode read = mapper.valueToTree(mapper.treeToValue(event, type));
        for (var fields = event.fieldNames(); fields.hasNext(); ) {
          String field = fields.next();
          if (!read.has(field)) throw new IllegalStateException(name + " lost " + field);
        }
      }
    }
    System.out.println("done");
  }
}
