using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Configuration;

/// <summary>The questions of fully sharded data parallelism.</summary>
internal static class FsdpQuestions
{
    public static ConfigSection Ask(IQuestions questions)
    {
        var version = questions.Choose("Which version of FSDP do you want to use?", ["version 1", "version 2"], defaultIndex: 1) + 1;
        var values = new ConfigSection { ["fsdp_version"] = version };
        if (version == 1) values["fsdp_sharding_strategy"] = questions.Pick("Which sharding strategy?", ConfigKeys.ShardingStrategies, "FULL_SHARD");
        else values["fsdp_reshard_after_forward"] = questions.Confirm("Do you want parameters freed after the forward pass? It saves memory and costs a second gather.", defaultAnswer: true);
        values["fsdp_offload_params"] = questions.Confirm("Do you want parameters and gradients kept in host memory?");
        Wrapping(questions, values);
        if (version == 1) values["fsdp_backward_prefetch"] = questions.Pick("When are the next parameters gathered in the backward pass?", ConfigKeys.BackwardPrefetches, "BACKWARD_PRE");
        values["fsdp_state_dict_type"] = version == 1
            ? questions.Pick("How do you want checkpoints saved?", ConfigKeys.StateDictTypes, "SHARDED_STATE_DICT")
            : questions.Pick("How do you want checkpoints saved?", ["FULL_STATE_DICT", "SHARDED_STATE_DICT"], "SHARDED_STATE_DICT");
        if (version == 1)
        {
            values["fsdp_forward_prefetch"] = questions.Confirm("Do you want the next parameters gathered early in the forward pass too?");
            values["fsdp_use_orig_params"] = questions.Confirm("Do you want the model to keep its own parameters (use_orig_params)?", defaultAnswer: true);
        }
        var efficient = questions.Confirm("Do you want the weights loaded on rank 0 alone, and sent to the others from there?", defaultAnswer: true);
        values["fsdp_cpu_ram_efficient_loading"] = efficient;
        if (version == 1)
            values["fsdp_sync_module_states"] = efficient || questions.Confirm("Do you want rank 0 to send its weights to the others at the start?", defaultAnswer: true);
        values["fsdp_activation_checkpointing"] = questions.Confirm("Do you want activations computed again in the backward pass, instead of kept?");
        return values;
    }

    private static void Wrapping(IQuestions questions, ConfigSection values)
    {
        var policy = questions.Pick("Which modules become a unit that is gathered and freed as a whole?", ConfigKeys.WrapPolicies, "TRANSFORMER_BASED_WRAP");
        values["fsdp_auto_wrap_policy"] = policy;
        if (policy == "SIZE_BASED_WRAP") values["fsdp_min_num_params"] = questions.Whole("From how many parameters on?", 100_000_000, minimum: 0);
        if (policy == "TRANSFORMER_BASED_WRAP" && !questions.Confirm("Does the model name its layers itself (no-split modules)?"))
            values["fsdp_transformer_layer_cls_to_wrap"] = questions.Ask("What are the classes of its layers, separated by commas?");
    }
}
