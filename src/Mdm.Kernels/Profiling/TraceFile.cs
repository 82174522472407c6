using System.Text.Json;

namespace Mdm.Kernels.Profiling;

/// <summary>Writes kernel calls as a trace that Perfetto (ui.perfetto.dev) and chrome://tracing show: one row for the kernels, one
/// above it for the modules they belong to.</summary>
public static class TraceFile
{
    private const int Process = 1, ModuleRow = 1, KernelRow = 2;

    /// <summary>Writes the records of a device to a stream.</summary>
    public static void Write(Stream stream, ProfilingDevice device)
    {
        using var json = new Utf8JsonWriter(stream);
        json.WriteStartObject();
        json.WriteString("displayTimeUnit", "ms");
        json.WriteStartArray("traceEvents");
        RowName(json, "process_name", ModuleRow, device.Description);
        RowName(json, "thread_name", ModuleRow, "modules");
        RowName(json, "thread_name", KernelRow, $"kernels on {device.Name}");
        IReadOnlyList<KernelRecord> records = device.Records;
        if (records.Count > 0)
        {
            long origin = records[0].From;
            double[] starts = [.. records.Select(r => device.Seconds(origin, r.From))];
            double[] ends = [.. records.Select((r, i) => starts[i] + device.Seconds(r.From, r.To))];
            for (int i = 0; i < records.Count; i++)
                Kernel(json, records[i], starts[i], ends[i]);
            for (int first = 0, last; first < records.Count; first = last + 1)
            {
                for (last = first; last + 1 < records.Count && records[last + 1].Where == records[first].Where;)
                    last++;
                if (records[first].Where.Length > 0)
                    Event(json, records[first].Where, "module", ModuleRow, starts[first], ends[last], null);
            }
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Kernel(Utf8JsonWriter json, KernelRecord record, double start, double end) =>
        Event(json, record.Kernel, record.Family.ToString(), KernelRow, start, end, () =>
        {
            json.WriteString("shape", record.Shape);
            json.WriteString("module", record.Where);
            json.WriteNumber("GFLOP", record.Operations / 1e9);
            json.WriteNumber("MB", record.Bytes / 1e6);
        });

    // Times are in microseconds.
    private static void Event(Utf8JsonWriter json, string name, string category, int row, double start, double end, Action? arguments)
    {
        json.WriteStartObject();
        json.WriteString("name", name);
        json.WriteString("cat", category);
        json.WriteString("ph", "X");
        json.WriteNumber("ts", Math.Round(start * 1e6, 3));
        json.WriteNumber("dur", Math.Round((end - start) * 1e6, 3));
        json.WriteNumber("pid", Process);
        json.WriteNumber("tid", row);
        json.WriteStartObject("args");
        arguments?.Invoke();
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void RowName(Utf8JsonWriter json, string kind, int row, string name)
    {
        json.WriteStartObject();
        json.WriteString("name", kind);
        json.WriteString("ph", "M");
        json.WriteNumber("pid", Process);
        json.WriteNumber("tid", row);
        json.WriteStartObject("args");
        json.WriteString("name", name);
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
