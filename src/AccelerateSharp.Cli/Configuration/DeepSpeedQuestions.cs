using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Configuration;

/// <summary>The questions of DeepSpeed's ZeRO.</summary>
internal static class DeepSpeedQuestions
{
    public static ConfigSection Ask(IQuestions questions, int machines)
    {
        var values = new ConfigSection();
        if (questions.Confirm("Do you have a DeepSpeed configuration file (JSON)?"))
        {
            values["deepspeed_config_file"] = ConfigLocation.Expand(questions.Ask("Where is it?"));
            values["zero3_init_flag"] = questions.Confirm("Do you want the weights sharded while the model is built (stage 3 only)?");
        }
        else
        {
            Stage(questions, values);
        }
        if (questions.Confirm("Do you have mixture-of-experts layers?"))
            values["deepspeed_moe_layer_cls_names"] = questions.Ask("What are their classes, separated by commas?");
        if (machines > 1) Launcher(questions, values);
        return values;
    }

    private static void Stage(IQuestions questions, ConfigSection values)
    {
        var stage = questions.Choose(
            "What do you want sharded?",
            ["Nothing (stage 0)", "Optimizer state (stage 1)", "Optimizer state and gradients (stage 2)", "Optimizer state, gradients and parameters (stage 3)"],
            defaultIndex: 2);
        values["zero_stage"] = stage;
        if (stage >= 2)
        {
            Offload(questions, values, "optimizer", "Where do you want the optimizer state?");
            // The reference asks at stage 2 already, where the answer has no effect.
            if (stage == 3) Offload(questions, values, "param", "Where do you want the parameters that are not in use?");
        }
        values["gradient_accumulation_steps"] = questions.Whole("Over how many batches are gradients accumulated?", 1, minimum: 1);
        if (questions.Confirm("Do you want gradients clipped?")) values["gradient_clipping"] = questions.Real("To which norm?", 1.0);
        if (stage < 3) return;
        values["zero3_save_16bit_model"] = questions.Confirm("Do you want the whole model saved with 16-bit weights?");
        values["zero3_init_flag"] = questions.Confirm("Do you want the weights sharded while the model is built?");
    }

    private static void Offload(IQuestions questions, ConfigSection values, string what, string question)
    {
        var device = questions.Pick(question + " (none: on the GPU)", ConfigKeys.OffloadDevices, "none");
        values[$"offload_{what}_device"] = device;
        if (device == "nvme") values[$"offload_{what}_nvme_path"] = questions.Ask("In which folder of the NVMe drive?", "/nvme");
    }

    private static void Launcher(IQuestions questions, ConfigSection values)
    {
        var launcher = questions.Pick("Which launcher starts the processes of the other machines?", ConfigKeys.MultiNodeLaunchers, "standard");
        values["deepspeed_multinode_launcher"] = launcher;
        if (launcher == "standard") return;
        values["deepspeed_hostfile"] = ConfigLocation.Expand(questions.Ask("Where is the hostfile?", "/job/hostfile"));
        if (questions.Confirm("Do you want to leave some machines or GPUs out?")) values["deepspeed_exclusion_filter"] = questions.Ask("Which (such as node1@node2:0,1)?");
        else if (questions.Confirm("Do you want to use some of them only?")) values["deepspeed_inclusion_filter"] = questions.Ask("Which (such as node1@node2:0,1)?");
    }
}
