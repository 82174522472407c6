using Mdm.Kernels;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Formats.PyTorch;
using Mdm.Tests;

namespace Mdm.Tensors.Tests.Formats;

public class PthReadTests
{
    private readonly TemporaryFolder folder = new();
    private bool filesMade;

    [OneTimeTearDown]
    public void RemoveFolder() => folder.Dispose();

    [TestCase("unet_b")]
    [TestCase("unet_c")]
    [TestCase("nested_2")]
    public void GoldenCheckpointsAreTheirWeights(string name)
    {
        using ITensorFile pth = TensorFile.Open(GoldenFiles.Require(name + ".pth"));
        using ITensorFile weights = TensorFile.Open(GoldenFiles.Require(name + ".weights.safetensors"));
        Assert.That(pth.Tensors.Keys, Is.EquivalentTo(weights.Tensors.Keys));
        foreach (StoredTensor expected in weights.Tensors.Values)
        {
            StoredTensor found = pth.Tensors[expected.Name];
            Assert.That(found.Type, Is.EqualTo(expected.Type));
            Assert.That(found.Shape, Is.EqualTo(expected.Shape));
            Assert.That(found.Bytes.SequenceEqual(expected.Bytes), expected.Name);
        }

        Assert.That(pth.Metadata["batch_num"], Is.EqualTo("4242"));
        Assert.That(pth.Metadata["loss"], Is.EqualTo("0.123456789"));
        Assert.That(pth.Metadata["best_avg_loss"], Is.EqualTo("0.25"));
        Assert.That(pth.Metadata["exp_avg_loss_var"], Is.EqualTo("0.0625"));
        Assert.That(pth.Metadata.Keys, Has.None.EqualTo("args"));
        var args = (PickleObject)((PthFile)pth).Top["args"]!;
        Assert.That(args.Made, Is.EqualTo(new PickleGlobal("argparse", "Namespace")));
        Assert.That(((PickleDictionary)args.State!).Keys, Has.Member("unet_config"));
    }

    [TestCase(2)]
    [TestCase(4)]
    public void EveryKindOfTensorOfPyTorchIsRead(int protocol)
    {
        MakeFiles();
        using var file = (PthFile)TensorFile.Open(folder[$"all{protocol}.pth"]);
        Assert.That(file.Tensors, Has.Count.EqualTo(17));
        Assert.That(file.Tensors.Keys.First(), Is.EqualTo("plain"));
        foreach (StoredTensor tensor in file.Tensors.Values)
            Assert.That(tensor.Bytes.SequenceEqual(File.ReadAllBytes(folder["raw." + tensor.Name])), tensor.Name);
        Assert.That(file.Tensors["transposed"].Shape, Is.EqualTo(new[] { 4, 6, 5 }));
        Assert.That(file.Tensors["bf16"].Type, Is.EqualTo(DType.BFloat16));
        Assert.That(file.Tensors["half"].ToFloats(), Is.EqualTo(
            file.Tensors["half"].Bytes.ToArray().Chunk(2).Select(b => (float)BitConverter.ToHalf(b))));
        var expected = new Dictionary<string, string>
        {
            ["batch_num"] = "7",
            ["loss"] = "1.0",
            ["small"] = "1E-09",
            ["name"] = "größer",
            ["flag"] = "true",
            ["average"] = "0.1",
            ["single"] = "0.5",
            ["count"] = "-3",
            ["minus"] = "-1099511627776",
            ["nan"] = "NaN",
        };
        Assert.That(file.Metadata, Is.EquivalentTo(expected));
    }

    [Test]
    public void PlainDictionaryOfTensorsIsRead()
    {
        MakeFiles();
        using ITensorFile file = TensorFile.Open(folder["pytorch_model.bin"]);
        Assert.That(file.Tensors.Keys, Is.EqualTo(new[] { "a", "b", "c" }));
        Assert.That(file.Tensors["a"].ToFloats(), Is.EqualTo(file.Tensors["b"].ToFloats()));
    }

    [Test]
    public void SharedEmbeddingOfTextModelIsRead()
    {
        using ITensorFile file = TensorFile.Open(GoldenFiles.Require(Path.Combine("text", "t5_bin", "pytorch_model.bin")));
        Assert.That(file.Tensors["shared.weight"].ToFloats(),
            Is.EqualTo(file.Tensors["encoder.embed_tokens.weight"].ToFloats()));
    }

    [Test]
    public void FormatBeforeVersion16IsNamed()
    {
        MakeFiles();
        Assert.That(() => TensorFile.Open(folder["old.pth"]),
            Throws.TypeOf<MdmException>().With.Message.Contains("before version 1.6"));
    }

    [Test]
    public void NothingThatFileNamesIsRun()
    {
        MakeFiles();
        using (var file = (PthFile)TensorFile.Open(folder["evil.pth"]))
        {
            Assert.That(file.Tensors["weight"].ToFloats(), Has.All.EqualTo(1f));
            var call = (PickleObject)file.Top["args"]!;
            Assert.That(call.Made!.ToString(), Is.EqualTo("posix.system"));
        }

        Assert.That(() => TensorFile.Open(folder["only-evil.pth"]),
            Throws.TypeOf<MdmException>().With.Message.Contains("found posix.system, expected a dictionary of tensors"));
        Assert.That(File.Exists(folder["executed"]), Is.False);
    }

    /// <summary>One run of PyTorch for all tests: it takes seconds to start.</summary>
    private void MakeFiles()
    {
        if (filesMade)
            return;
        Python.Run($$"""
            import torch, numpy, collections, os
            folder = r'{{folder[""]}}'
            torch.manual_seed(1)
            base = torch.randn(6, 5, 4)
            state = collections.OrderedDict()
            state['plain'] = base
            state['shared'] = base
            state['view'] = base[2:4]
            state['transposed'] = base.permute(2, 0, 1)
            state['strided'] = base[::2, 1:, ::3]
            state['channels_last'] = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
            state['expanded'] = torch.randn(3, 1).expand(3, 7)
            state['scalar'] = torch.tensor(2.5)
            state['empty'] = torch.zeros(0, 3)
            state['bf16'] = torch.randn(7, 3).bfloat16()
            state['half'] = torch.randn(7, 3).half().t()
            state['double'] = torch.randn(4).double()
            state['long'] = torch.arange(-3, 5)
            state['int'] = torch.arange(9, dtype=torch.int32)[4:]
            state['byte'] = torch.arange(250, 256).to(torch.uint8)
            state['bool'] = torch.tensor([True, False])
            state['parameter'] = torch.nn.Parameter(torch.randn(300, 310).t())
            top = {'state_dict': state, 'batch_num': 7, 'loss': 1.0, 'small': 1e-9, 'name': 'größer', 'flag': True,
                   'average': numpy.float64(0.1), 'single': numpy.float32(0.5), 'count': numpy.int64(-3), 'nothing': None,
                   'huge': 10**30, 'minus': -2**40, 'nan': float('nan'), 'raw': b'x', 'dtype': torch.float16,
                   'list': [1, {2: 3}, (4, {5})], 'size': torch.Size([1, 2]), 'short': torch.zeros(2, dtype=torch.int16),
                   'array': numpy.arange(3), 'device': torch.device('cpu'), 'default': collections.defaultdict(list, a=[1])}
            for protocol in (2, 4):
                torch.save(top, f'{folder}/all{protocol}.pth', pickle_protocol=protocol)
            for name, tensor in state.items():
                raw = tensor.detach().contiguous()
                raw = raw.view(torch.int16) if raw.dtype == torch.bfloat16 else raw
                raw.numpy().tofile(f'{folder}/raw.{name}')
            table = torch.randn(5, 3)
            torch.save(collections.OrderedDict(a=table, b=table, c=torch.ones(1)), f'{folder}/pytorch_model.bin')
            torch.save(dict(a=torch.ones(3)), f'{folder}/old.pth', _use_new_zipfile_serialization=False)
            class Evil:
                def __reduce__(self):
                    return os.system, (f'touch {folder}/executed',)
            torch.save(dict(state_dict=dict(weight=torch.ones(2, 3)), args=Evil()), f'{folder}/evil.pth')
            torch.save(Evil(), f'{folder}/only-evil.pth')
            """, "torch");
        filesMade = true;
    }
}
